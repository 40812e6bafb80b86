"""Seeded clusters and mixes of models for the placement benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from models.hardware import Device, Node
from models.placement.slots import Demand

GIB = 1024**3
GPU = Device("h100-80gb", "cuda", 80 * GIB, 78 * GIB, "H100")

# Budgets in GiB as weights in bfloat16 with a KV cache make them, and how often each class is drawn.
_SIZES = {
    "embedding": (0.8, 3.0, 5),
    "1b": (3.0, 6.0, 4),
    "3b": (7.0, 12.0, 3),
    "8b": (18.0, 28.0, 5),
    "14b": (31.0, 42.0, 2),
    "32b": (64.0, 76.0, 1),
}
_RANK_GIB = (36.0, 76.0)  # each rank of a model that is divided


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of instance: the cluster, how much of it the models fill, and what they are like.

    ``fill`` is the share of all GPU memory; ``most_replicas`` of a model; ``num_groups`` models of 2 or 4 ranks;
    classes of models below ``smallest_gib`` are left out.
    """

    name: str
    num_nodes: int
    num_devices: int
    fill: float
    most_replicas: int = 1
    num_groups: int = 0
    smallest_gib: float = 0


@dataclass(frozen=True, slots=True)
class Instance:
    """What has to be placed, in the order in which it arrives, and where."""

    family: Family
    seed: int
    demands: tuple[Demand, ...]
    nodes: tuple[Node, ...]


def make_instance(family: Family, seed: int) -> Instance:
    """The same for the same arguments."""
    random = Random(f"{family.name} {seed}")  # noqa: S311 - nothing secret
    nodes = tuple(
        Node(f"node-{index}", 192, 1800 * GIB, GPU, family.num_devices) for index in range(family.num_nodes)
    )
    space = int(family.fill * family.num_nodes * family.num_devices * GPU.usable_bytes)
    models = [_group(random, index, family.num_devices) for index in range(family.num_groups)]
    while space > (filled := sum(map(_volume, models))):
        model = _model(random, len(models), family)
        if filled + _volume(model) > space and models:
            break
        models.append(model)
    random.shuffle(models)
    return Instance(family, seed, tuple(demand for model in models for demand in model), nodes)


def _model(random: Random, index: int, family: Family) -> list[Demand]:
    classes = [each for each in _SIZES.values() if each[0] >= family.smallest_gib]
    low, high, _ = random.choices(classes, [weight for *_, weight in classes])[0]
    size = int(random.uniform(low, high) * GIB)
    num_replicas = random.randint(1, family.most_replicas)
    return [Demand(f"m{index}@1", replica, GPU.name, size) for replica in range(num_replicas)]


def _group(random: Random, index: int, num_devices: int) -> list[Demand]:
    num_ranks = min(random.choice((2, 4)), num_devices)
    size = int(random.uniform(*_RANK_GIB) * GIB)
    return [Demand(f"m{index}@1", 0, GPU.name, size, num_ranks=num_ranks)]


def _volume(model: Sequence[Demand]) -> int:
    return sum(demand.num_ranks * demand.device_bytes for demand in model)
