"""Packs all replicas onto all devices: best-fit decreasing in several orders, then repair. Pure and deterministic.

Best-fit decreasing uses at most 11/9 of the fewest bins and 6/9 of one (Dosa and Sgall, 2014); the repair empties
devices, and what is small enough is searched through (``placement_exact``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from models.errors import ConfigError
from models.hardware import Node
from models.placement.exact import search_through
from models.placement.layout import NO_SLOTS, Layout, lay_out, natural
from models.placement.moves import Rules, find_place, insert
from models.placement.repair import empty_devices, part_replicas
from models.placement.room import cpu_units
from models.placement.slots import CPU, RAY_UNITS, Demand, Key, Placement, Slot, gpu_units

Order = Callable[[Demand], tuple[int, ...]]


def place(demands: Sequence[Demand], nodes: Sequence[Node], keep: Mapping[Key, Slot] = NO_SLOTS) -> Placement:
    """The best placement found: independent of the order of ``demands`` and ``nodes``.

    As many demands as possible; then, each only as far as those before allow: what has a slot in ``keep`` stays
    there, replicas of one model lie on different nodes, then on different devices, CPU replicas on nodes without
    GPUs, the fewest devices are used, at the lowest price, on nodes that hold the weights.

    Replicas of a CPU model thus share weights only on a node that they must share: what is up when a node is lost
    counts for more than memory that nobody else needs.

    Few demands that fit are placed, all of them (``placement_exact``); of many, some that an exhaustive search
    would place may be left over, and more hardware may place fewer. ConfigError when a node or a replica is there
    twice, or when replicas of a model disagree about what they share.
    """
    _check(demands, nodes)
    ordered = sorted(demands, key=lambda demand: (natural(demand.model), demand.replica))
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
    orders = _orders(demands, nodes)

    def pack(order: Order, rules: Rules) -> Layout:
        return _pack(sorted(demands, key=order), lay_out(demands, nodes, start, keep), rules)

    layouts = [pack(order, Rules()) for order in orders[:-1]]
    if any(node.stored for node in nodes):
        layouts.extend(pack(order, Rules(stored=False)) for order in orders[:-1])
    if not any(_is_complete(layout, demands) for layout in layouts):
        layouts.extend(pack(order, Rules(spread=False)) for order in orders)
    best = min(layouts, key=lambda layout: layout.cost_of(demands))
    _repair(best, demands)
    return search_through(best, sorted(demands, key=orders[0]), nodes)


def _pack(demands: Sequence[Demand], layout: Layout, rules: Rules) -> Layout:
    """Each demand that has no place yet, in order, to its best place."""
    for demand in demands:
        if demand.key not in layout.placed:
            insert(layout, demand, rules)
    return layout


def _repair(layout: Layout, demands: Sequence[Demand]) -> None:
    """Part replicas, empty devices and place what was left over, as long as that makes the placement better."""
    before = None
    while before is None or layout.cost_of(demands) < before:
        before = layout.cost_of(demands)
        part_replicas(layout)
        empty_devices(layout)
        for demand in demands:
            if demand.key not in layout.placed:
                find_place(layout, demand, Rules())


def _orders(demands: Sequence[Demand], nodes: Sequence[Node]) -> tuple[Order, ...]:
    """Large ones first, by three notions of large; the last is small ones first, which leaves the fewest over."""
    scale = _Scale(nodes)
    rank = {demand.key: index for index, demand in enumerate(demands)}
    return (
        lambda d: (d.device == CPU, -d.num_ranks, -scale.device(d), -scale.beside(d), rank[d.key]),
        lambda d: (d.device == CPU, -d.num_ranks * scale.device(d), -scale.beside(d), rank[d.key]),
        lambda d: (-max(d.num_ranks * scale.device(d), scale.beside(d)), -d.num_ranks, rank[d.key]),
        lambda d: (max(d.num_ranks * scale.device(d), scale.beside(d)), rank[d.key]),
    )


class _Scale:
    """How large a demand is against the largest device and the largest node, in ten-thousandths."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._gpus = {node.gpu.name: node.gpu for node in nodes if node.gpu}
        self._memory_bytes = max((node.memory_bytes for node in nodes), default=0) or 1
        self._num_cpus = max((node.num_cpus for node in nodes), default=0) or 1

    def device(self, demand: Demand) -> int:
        if demand.device == CPU:
            return (demand.device_bytes + demand.shared_bytes) * RAY_UNITS // self._memory_bytes
        gpu = self._gpus.get(demand.device)
        return gpu_units(demand.device_bytes, gpu) if gpu else 0

    def beside(self, demand: Demand) -> int:
        return max(demand.host_bytes * RAY_UNITS // self._memory_bytes, int(cpu_units(demand) / self._num_cpus))


def _is_complete(layout: Layout, demands: Sequence[Demand]) -> bool:
    return len(layout.placed) == len(demands)


def _check(demands: Sequence[Demand], nodes: Sequence[Node]) -> None:
    for kind, names in (
        ("node", Counter(node.name for node in nodes)),
        ("replica", Counter("{}#{}".format(*demand.key) for demand in demands)),
    ):
        if twice := sorted(name for name, count in names.items() if count > 1):
            raise ConfigError(f"{kind} {twice[0]} is there twice", remedy=f"give each {kind} a name of its own")
    shared: dict[str, int] = {}
    for demand in demands:
        if demand.device == CPU and shared.setdefault(demand.model, demand.shared_bytes) != demand.shared_bytes:
            raise ConfigError(
                f"replicas of {demand.model} share {shared[demand.model]} and {demand.shared_bytes} bytes",
                remedy="plan all replicas of a version with the same limits",
            )
