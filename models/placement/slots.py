"""Which replica goes onto which device: the words, and what Ray books for a place. Pure.

``placement_search`` finds a placement, ``placement_proof`` says why there is none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from models.errors import DoesNotFitError
from models.hardware import Device

RAY_UNITS = 10_000  # Ray counts resources in steps of 0.0001
CPU = "cpu"

Group = tuple[str, int]  # model, replica
Key = tuple[str, int, int]  # model, replica, part


@dataclass(frozen=True, slots=True)
class Demand:
    """One replica that has to be placed, or one of the ``num_parts`` of a group of ranks: a stage's ranks.

    Part p has the group's ranks from ``p * num_ranks`` on, all on one node; the parts may lie on different nodes,
    but all have a place or none. On a GPU node (``device`` names its kind of GPU) each rank takes ``device_bytes``
    of one GPU, and no two ranks of a group share one. On a CPU node (``device`` is ``cpu``) each takes
    ``device_bytes`` of the node's memory of its own, and all of the part ``shared_bytes``, once for the same part
    of all replicas of ``model`` on the node. ``host_bytes`` and ``num_cpus``, of all its ranks together, are taken
    from the node beside that.
    """

    model: str
    replica: int
    device: str
    device_bytes: int
    shared_bytes: int = 0
    num_ranks: int = 1
    host_bytes: int = 0
    num_cpus: float = 0.0
    part: int = 0
    num_parts: int = 1

    @property
    def key(self) -> Key:
        return self.model, self.replica, self.part

    @property
    def group(self) -> Group:
        """What all parts of one replica have in common."""
        return self.model, self.replica

    @property
    def own_bytes(self) -> int:
        """What its ranks take of their devices together, without what is shared."""
        return self.num_ranks * self.device_bytes

    @property
    def ranks(self) -> range:
        """The numbers of its ranks in the group."""
        return range(self.part * self.num_ranks, (self.part + 1) * self.num_ranks)


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a demand lies: a node, and the indices of its GPUs, one for each of its ranks; none on a CPU node."""

    node: str
    devices: tuple[int, ...] = ()

    def __str__(self) -> str:
        return "/".join([self.node, *(["+".join(map(str, self.devices))] if self.devices else [])])


@dataclass(frozen=True, slots=True)
class Placement:
    """``slots`` by (model, replica, part); ``unplaced`` are those that found no place, all parts of a replica."""

    slots: Mapping[Key, Slot]
    unplaced: tuple[Demand, ...] = ()


def gpu_units(device_bytes: int, device: Device) -> int:
    """How many of a GPU's RAY_UNITS hold ``device_bytes``, rounded up; above RAY_UNITS they do not fit on it."""
    return -(-device_bytes * RAY_UNITS // device.usable_bytes)


def gpu_fraction(device_bytes: int, device: Device) -> float:
    """``num_gpus`` of a replica with ``device_bytes`` on ``device``, rounded up to Ray's 0.0001.

    DoesNotFitError when one device does not hold them.
    """
    units = gpu_units(device_bytes, device)
    if units > RAY_UNITS:
        raise DoesNotFitError(
            f"{device_bytes} bytes exceed the {device.usable_bytes} usable bytes of one {device.name}",
            remedy="give the model less memory, or a larger device",
        )
    return units / RAY_UNITS


def booked_bytes(device_bytes: int, shared_bytes: int, nodes: Iterable[str]) -> int:
    """``memory`` that each replica of a CPU model asks of Ray. ``nodes``: the node of each of its places.

    Ray books the same for every replica of a deployment and knows of nothing shared. With the shared bytes divided
    by the largest number of replicas on one node, no node books more than is planned for it, so that Ray never
    refuses what was planned; a node with fewer replicas books less than is planned.
    """
    most = max(Counter(nodes).values(), default=1)
    return device_bytes + shared_bytes // most
