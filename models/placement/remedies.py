"""What an operator can change so that a replica finds a place, each tried by placing again. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count, islice

from models.hardware import Node
from models.memory.plan import format_bytes
from models.placement.groups import by_group
from models.placement.layout import Layout, lay_out, natural
from models.placement.room import Room
from models.placement.search import place
from models.placement.slots import CPU, RAY_UNITS, Demand, Key, Placement

_MOST_TRIES = 8


@dataclass(frozen=True, slots=True)
class Reduction:
    """A change that the planner offers, and what a replica, or each part of one, takes after it.

    ``label`` says what to do, for example ``set limits.max_num_seqs to 4``.
    """

    label: str
    device_bytes: int
    shared_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Reduce:
    """Give each replica of the model less memory."""

    model: str
    reduction: Reduction

    def __str__(self) -> str:
        size = format_bytes(self.reduction.device_bytes + self.reduction.shared_bytes)
        return f"{self.reduction.label} ({size} for {self.model})"


@dataclass(frozen=True, slots=True)
class FewerReplicas:
    """Run as many replicas of the model as there is room for."""

    model: str
    num_replicas: int

    def __str__(self) -> str:
        return f"run {_count(self.num_replicas, 'replica')} of {self.model}"


@dataclass(frozen=True, slots=True)
class MoreNodes:
    """Add nodes of a group: enough for all that they can hold of what is unplaced. ``price_per_hour``: of them."""

    group: str
    num_nodes: int
    price_per_hour: float | None

    def __str__(self) -> str:
        price = "" if self.price_per_hour is None else f", {self.price_per_hour:.2f} an hour"
        return f"add {_count(self.num_nodes, 'node')} like {self.group}{price}"


Remedy = Reduce | FewerReplicas | MoreNodes


def changed(remedy: Remedy, demands: Sequence[Demand], nodes: Sequence[Node]) -> tuple[list[Demand], list[Node]]:
    """The demands and nodes after the change."""
    if isinstance(remedy, MoreNodes):
        return list(demands), [*nodes, *_copies(remedy.group, remedy.num_nodes, nodes)]
    own = sorted((demand for demand in demands if demand.model == remedy.model), key=lambda demand: demand.key)
    others = [demand for demand in demands if demand.model != remedy.model]
    if isinstance(remedy, FewerReplicas):
        left = by_group(own)[: remedy.num_replicas]
        return [*others, *(part for parts in left for part in parts)], list(nodes)
    after = remedy.reduction
    smaller = [replace(each, device_bytes=after.device_bytes, shared_bytes=after.shared_bytes) for each in own]
    return [*others, *smaller], list(nodes)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What was to be placed where, and what came of it."""

    placement: Placement
    demands: Sequence[Demand]
    nodes: Sequence[Node]

    def reduction(self, model: str, reductions: Sequence[Reduction]) -> Reduce | None:
        """The first with which all replicas of the model fit, and nothing else loses its place."""
        remedies = (Reduce(model, reduction) for reduction in reductions)
        return next((remedy for remedy in remedies if self._helps(remedy, self._unplaced_of(model))), None)

    def fewer_replicas(self, model: str) -> FewerReplicas | None:
        """As many replicas as there is room for; None where there is none for even one."""
        num_placed = len({key[:2] for key in self.placement.slots if key[0] == model})
        remedy = FewerReplicas(model, num_placed)
        return remedy if num_placed and self._helps(remedy, self._unplaced_of(model)) else None

    def more_nodes(self, group: str) -> MoreNodes | None:
        """The fewest nodes with which all that they can hold fits; None if they hold nothing that is unplaced."""
        like = _first(group, self.nodes)
        helped = [demand for demand in self.placement.unplaced if can_hold(like, demand)]
        fewest = _fewest(like, helped, lay_out(self.demands, self.nodes, self.placement.slots))
        price = like.price_per_hour
        for num_nodes in range(fewest, min(len(helped), fewest + _MOST_TRIES) + 1):
            remedy = MoreNodes(group, num_nodes, None if price is None else num_nodes * price)
            if self._helps(remedy, {demand.key for demand in helped}):
                return remedy
        return None

    def is_held(self, demand: Demand, group: str) -> bool:
        """Whether the demand fits on an empty node of the group."""
        return can_hold(_first(group, self.nodes), demand)

    def _helps(self, remedy: Remedy, keys: set[Key]) -> bool:
        """Whether these demands are placed after the change, and no other is left over that was not before."""
        after = {demand.key for demand in place(*changed(remedy, self.demands, self.nodes)).unplaced}
        return after <= {demand.key for demand in self.placement.unplaced} - keys

    def _unplaced_of(self, model: str) -> set[Key]:
        return {demand.key for demand in self.placement.unplaced if demand.model == model}


def groups_of(nodes: Sequence[Node]) -> tuple[str, ...]:
    """The node types; a node without one is its own."""
    return tuple(dict.fromkeys(_group(node) for node in _sorted(nodes)))


def can_hold(node: Node, demand: Demand) -> bool:
    """Whether the demand fits on the node when nothing else is there."""
    return Room(node).tightest(demand) is not None


def _fewest(like: Node, helped: Sequence[Demand], layout: Layout) -> int:
    """A lower bound: the GPU bytes of the helped demands against what is free now and on the new nodes."""
    on_gpu = [demand for demand in helped if demand.device != CPU]
    if not (on_gpu and like.gpu):
        return 1
    rooms = [room for room in layout.rooms if room.units(on_gpu[0]) is not None]
    free = sum(sum(room.free_units) * room.usable_bytes for room in rooms) // RAY_UNITS
    needed = sum(demand.own_bytes for demand in on_gpu)
    return max(1, -(-(needed - free) // (like.gpu.usable_bytes * like.num_devices)))


def _copies(group: str, num_nodes: int, nodes: Sequence[Node]) -> list[Node]:
    taken = {node.name for node in nodes}
    names = (name for number in count(1) if (name := f"{group}+{number}") not in taken)
    return [replace(_first(group, nodes), name=name) for name in islice(names, num_nodes)]


def _first(group: str, nodes: Sequence[Node]) -> Node:
    return next(node for node in _sorted(nodes) if _group(node) == group)


def _group(node: Node) -> str:
    return node.group or node.name


def _sorted(nodes: Sequence[Node]) -> list[Node]:
    return sorted(nodes, key=lambda node: natural(node.name))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
