"""Packs all replicas onto all devices: best-fit decreasing in several orders, then repair. Pure and deterministic.

Best-fit decreasing uses at most 11/9 of the fewest bins and 6/9 of one (Dosa and Sgall, 2014); the repair empties
devices, and what is small enough is searched through (``placement_exact``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from models.errors import ConfigError
from models.hardware import Node
from models.placement.exact import search_through
from models.placement.groups import Parts, by_group, find_group, insert_group
from models.placement.layout import NO_SLOTS, Layout, lay_out, natural
from models.placement.moves import Rules
from models.placement.repair import empty_devices, part_replicas
from models.placement.room import cpu_units
from models.placement.slots import CPU, RAY_UNITS, Demand, Key, Placement, Slot, gpu_units

Order = Callable[[Parts], tuple[int, ...]]


def place(demands: Sequence[Demand], nodes: Sequence[Node], keep: Mapping[Key, Slot] = NO_SLOTS) -> Placement:
    """The best placement found: independent of the order of ``demands`` and ``nodes``.

    As many replicas as possible; then, each only as far as those before allow: what has a slot in ``keep`` stays
    there, a group's parts lie on the fewest nodes, replicas of one model on different nodes, then on different
    devices, CPU replicas on nodes without GPUs, the fewest devices are used, at the lowest price, on nodes that
    hold the weights.

    Replicas of a CPU model thus share weights only on a node that they must share: what is up when a node is lost
    counts for more than memory that nobody else needs.

    Few demands that fit are placed, all of them (``placement_exact``); of many, some that an exhaustive search
    would place may be left over, and more hardware may place fewer. ConfigError when a node or a replica is there
    twice, or when replicas of a model disagree about what they share.
    """
    _check(demands, nodes)
    ordered = sorted(demands, key=lambda demand: (natural(demand.model), demand.replica, demand.part))
    nodes = sorted(nodes, key=lambda node: natural(node.name))
    layout = _solve(ordered, nodes, keep, keep)
    if keep and not _is_complete(layout, ordered):
        anew = _solve(ordered, nodes, keep, NO_SLOTS)
        layout = min(layout, anew, key=lambda layout: layout.cost_of(ordered))
    slots = layout.slots()
    return Placement(slots, tuple(demand for demand in ordered if demand.key not in slots))


def _solve(
    demands: Sequence[Demand], nodes: Sequence[Node], keep: Mapping[Key, Slot], start: Mapping[Key, Slot]
) -> Layout:
    """The best of several orders, repaired. ``start``: what is placed before anything else."""
    groups = by_group(demands)
    orders = _orders(groups, nodes)

    def pack(order: Order, rules: Rules) -> Layout:
        return _pack(sorted(groups, key=order), lay_out(demands, nodes, start, keep), rules)

    layouts = [pack(order, Rules()) for order in orders[:-1]]
    if any(node.stored for node in nodes):
        layouts.extend(pack(order, Rules(stored=False)) for order in orders[:-1])
    if not any(_is_complete(layout, demands) for layout in layouts):
        layouts.extend(pack(order, Rules(spread=False)) for order in orders)
    best = min(layouts, key=lambda layout: layout.cost_of(demands))
    _repair(best, groups, demands)
    return search_through(best, [part for parts in sorted(groups, key=orders[0]) for part in parts], nodes)


def _pack(groups: Sequence[Parts], layout: Layout, rules: Rules) -> Layout:
    """What has no place yet, in order, to its best place."""
    for parts in groups:
        insert_group(layout, parts, rules)
    return layout


def _repair(layout: Layout, groups: Sequence[Parts], demands: Sequence[Demand]) -> None:
    """Part replicas, empty devices and place what was left over, as long as that makes the placement better."""
    before = None
    while before is None or layout.cost_of(demands) < before:
        before = layout.cost_of(demands)
        part_replicas(layout)
        empty_devices(layout)
        for parts in groups:
            if parts[0].key not in layout.placed:
                find_group(layout, parts, Rules())


def _orders(groups: Sequence[Parts], nodes: Sequence[Node]) -> tuple[Order, ...]:
    """Large ones first, by three notions of large; the last is small ones first, which leaves the fewest over."""
    scale = _Scale(nodes)
    sizes = {parts[0].group: scale.size(parts) for parts in groups}
    rank = {parts[0].group: index for index, parts in enumerate(groups)}

    def order(key: Callable[[_Size], tuple[int, ...]]) -> Order:
        return lambda parts: (*key(sizes[parts[0].group]), rank[parts[0].group])

    return (
        order(lambda size: (size.on_cpu, -size.num_ranks, -size.device, -size.beside)),
        order(lambda size: (size.on_cpu, -size.volume, -size.beside)),
        order(lambda size: (-max(size.volume, size.beside), -size.num_ranks)),
        order(lambda size: (max(size.volume, size.beside),)),
    )


@dataclass(frozen=True, slots=True)
class _Size:
    """Of a replica: of its largest rank, of all of them, and of what they take beside their devices."""

    on_cpu: bool
    num_ranks: int
    device: int
    volume: int
    beside: int


class _Scale:
    """How large a replica is against the largest device and the largest node, in ten-thousandths."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._gpus = {node.gpu.name: node.gpu for node in nodes if node.gpu}
        self._memory_bytes = max((node.memory_bytes for node in nodes), default=0) or 1
        self._num_cpus = max((node.num_cpus for node in nodes), default=0) or 1

    def size(self, parts: Parts) -> _Size:
        devices = list(map(self._device, parts))
        return _Size(
            on_cpu=parts[0].device == CPU,
            num_ranks=sum(part.num_ranks for part in parts),
            device=max(devices),
            volume=sum(_occupied(part) * device for part, device in zip(parts, devices, strict=True)),
            beside=max(map(self._beside, parts)),
        )

    def _device(self, demand: Demand) -> int:
        if demand.device == CPU:
            return (demand.own_bytes + demand.shared_bytes) * RAY_UNITS // self._memory_bytes
        gpu = self._gpus.get(demand.device)
        return gpu_units(demand.device_bytes, gpu) if gpu else 0

    def _beside(self, demand: Demand) -> int:
        return max(demand.host_bytes * RAY_UNITS // self._memory_bytes, int(cpu_units(demand) / self._num_cpus))


def _occupied(demand: Demand) -> int:
    """Devices: a CPU node's memory is one for all ranks."""
    return 1 if demand.device == CPU else demand.num_ranks


def _is_complete(layout: Layout, demands: Sequence[Demand]) -> bool:
    return len(layout.placed) == len(demands)


def _check(demands: Sequence[Demand], nodes: Sequence[Node]) -> None:
    for kind, names in (
        ("node", Counter(node.name for node in nodes)),
        ("replica", Counter(map(_named, demands))),
    ):
        if twice := sorted(name for name, count in names.items() if count > 1):
            raise ConfigError(f"{kind} {twice[0]} is there twice", remedy=f"give each {kind} a name of its own")
    shared: dict[tuple[str, int], int] = {}
    for demand in demands:
        each = demand.model, demand.part
        if demand.device == CPU and shared.setdefault(each, demand.shared_bytes) != demand.shared_bytes:
            raise ConfigError(
                f"replicas of {demand.model} share {shared[each]} and {demand.shared_bytes} bytes",
                remedy="plan all replicas of a version with the same limits",
            )


def _named(demand: Demand) -> str:
    return f"{demand.model}#{demand.replica}" + (f" part {demand.part}" if demand.part else "")
