"""Small clusters and models, and what every placement must hold to."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import strategies as st

from models.hardware import Device, Node
from models.placement.slots import CPU, RAY_UNITS, Demand, Placement, gpu_units

GIB = 1024**3
BIG = Device("big", "cuda", 80 * GIB, 79 * GIB, "BIG")
SMALL = Device("small", "cuda", 16 * GIB, 15 * GIB, "SMALL")


def gpu_node(name: str, num_devices: int = 2, gpu: Device = BIG, **facts: object) -> Node:
    return Node(name, 32, 200 * GIB, gpu, num_devices, **facts)  # type: ignore[arg-type]


def cpu_node(name: str, memory_gib: float = 64, num_cpus: float = 16, **facts: object) -> Node:
    return Node(name, num_cpus, int(memory_gib * GIB), **facts)  # type: ignore[arg-type]


def on_gpu(model: str, share: float, replica: int = 0, num_ranks: int = 1, gpu: Device = BIG) -> Demand:
    """Takes ``share`` of each of ``num_ranks`` GPUs."""
    return Demand(model, replica, gpu.name, int(share * gpu.usable_bytes), num_ranks=num_ranks)


def on_cpu(model: str, own_gib: float, shared_gib: float = 0, replica: int = 0, num_cpus: float = 0) -> Demand:
    return Demand(model, replica, CPU, int(own_gib * GIB), int(shared_gib * GIB), num_cpus=num_cpus)


@st.composite
def nodes(draw: st.DrawFn, most: int = 3, most_devices: int = 2) -> tuple[Node, ...]:
    return tuple(
        Node(
            f"node-{index}",
            num_cpus=draw(st.sampled_from((1, 4, 16))),
            memory_bytes=draw(st.integers(1, 40)) * GIB,
            gpu=(gpu := draw(st.sampled_from((None, BIG, BIG, SMALL)))),
            num_devices=draw(st.integers(1, most_devices)) if gpu else 0,
            stored=frozenset(draw(st.sets(st.sampled_from(("m0", "m1"))))),
            price_per_hour=draw(st.sampled_from((None, 1.0, 2.5))),
        )
        for index in range(draw(st.integers(1, most)))
    )


@st.composite
def demands(draw: st.DrawFn, most: int = 6) -> tuple[Demand, ...]:
    found: list[Demand] = []
    for index in range(draw(st.integers(1, most))):
        device = draw(st.sampled_from((CPU, "big", "big", "small")))
        size = draw(st.integers(1, 30 if device == CPU else 80)) * GIB
        shared = draw(st.integers(0, 10)) * GIB if device == CPU else 0
        num_ranks = draw(st.sampled_from((1, 1, 1, 2)))
        num_cpus = draw(st.sampled_from((0, 0.3, 1, 2)))
        smaller = draw(st.sampled_from(([], [], [0], [GIB // 2], [GIB // 2, 0])))
        for replica in range(draw(st.sampled_from((1, 1, 2, 3)))):
            host = draw(st.integers(0, 8)) * GIB
            one = Demand(f"m{index}", replica, device, size, shared, num_ranks, host, num_cpus)
            if len(found) + 1 + len(smaller) <= most:
                found.extend(group(one, size, *(size - less for less in smaller)))
    return tuple(found)


def group(like: Demand, *sizes: int) -> tuple[Demand, ...]:
    """The parts of one replica, of which each rank takes one of ``sizes``."""
    return tuple(
        replace(like, device_bytes=size, part=part, num_parts=len(sizes)) for part, size in enumerate(sizes)
    )


def check(placement: Placement, asked: Sequence[Demand], there: Sequence[Node]) -> None:
    """Nothing is lost or beyond its GPU, memory or CPUs, summed anew from what ``Demand`` says."""
    assert {*placement.slots, *(demand.key for demand in placement.unplaced)} == {demand.key for demand in asked}
    assert len(placement.slots) + len(placement.unplaced) == len(asked)
    assert {key[:2] for key in placement.slots}.isdisjoint(demand.group for demand in placement.unplaced)
    ranks = Counter((key[:2], slot.node, index) for key, slot in placement.slots.items() for index in slot.devices)
    assert max(ranks.values(), default=1) == 1, "two ranks of a group on one GPU"
    units: Counter[tuple[str, int]] = Counter()
    used_bytes: Counter[str] = Counter()
    num_cpus: Counter[str] = Counter()
    shared: defaultdict[str, dict[tuple[str, int], int]] = defaultdict(dict)
    by_name = {node.name: node for node in there}
    for demand in asked:
        if demand.key not in placement.slots:
            continue
        slot = placement.slots[demand.key]
        node = by_name[slot.node]
        used_bytes[node.name] += demand.host_bytes
        num_cpus[node.name] += round(demand.num_cpus * RAY_UNITS)
        if demand.device == CPU:
            assert slot.devices == ()
            used_bytes[node.name] += demand.num_ranks * demand.device_bytes
            shared[node.name][demand.model, demand.part] = demand.shared_bytes
        else:
            assert node.gpu is not None
            assert node.gpu.name == demand.device
            assert len(set(slot.devices)) == demand.num_ranks == len(slot.devices)
            assert all(0 <= index < node.num_devices for index in slot.devices)
            units.update({(node.name, index): gpu_units(demand.device_bytes, node.gpu) for index in slot.devices})
    assert all(taken <= RAY_UNITS for taken in units.values())
    for name, node in by_name.items():
        assert used_bytes[name] + sum(shared[name].values()) <= node.memory_bytes
        assert num_cpus[name] <= node.num_cpus * RAY_UNITS
