"""Searches through all placements of a few demands, within a bounded number of steps. Pure.

Depth-first branch and bound. What a placement costs only grows with each demand, and costs compare entry by entry:
a branch whose cost, with a lower bound for what is still to come, is no better than the best known is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate, pairwise

from models.hardware import Node
from models.placement.layout import Layout, Spot, lay_out
from models.placement.room import HOLDS, NOTHING, PRICE, UNPLACED, Cost, Room, plus
from models.placement.slots import CPU, RAY_UNITS, Demand, Group, Key, Slot

MOST_DEMANDS = 40
MOST_STEPS = 5_000  # about half a second


def search_through(known: Layout, demands: Sequence[Demand], nodes: Sequence[Node]) -> Layout:
    """The best placement of ``demands`` (large ones first) that is found; ``known`` if none is better.

    The parts of a group follow one another. First as many replicas as possible and nothing else; then the least
    cost, down to the number of devices, or to the price where nodes differ in it.
    """
    if len(demands) > MOST_DEMANDS:
        return known
    last = PRICE if len({node.price_per_hour for node in nodes}) > 1 else HOLDS
    for num_entries in (UNPLACED + 1, last + 1):
        search = _Search(known, demands, nodes, num_entries)
        if search.run():
            known = lay_out(demands, nodes, search.slots, known.kept)
    return known


@dataclass(frozen=True, slots=True)
class _Remaining:
    """What is still to come of one kind of GPU: bytes in total, and of the largest replica."""

    total_bytes: int
    largest_bytes: int


class _Search:
    """One run; only the first ``num_entries`` of the costs count."""

    def __init__(self, known: Layout, demands: Sequence[Demand], nodes: Sequence[Node], num_entries: int) -> None:
        self._demands = demands
        self._num_entries = num_entries
        self._ends = _ends(demands)
        self._layout = Layout(nodes, known.kept)
        self._best: Cost = known.cost_of(demands)[:num_entries]
        self._kinds = {
            kind: (_rooms_of(self._layout, kind), _remaining(demands, kind))
            for kind in {demand.device for demand in demands} - {CPU}
        }
        self._steps = MOST_STEPS
        self._found = False
        self.slots: Mapping[Key, Slot] = {}

    def run(self) -> bool:
        """Whether something better than what was known is found; ``slots`` has it."""
        self._descend(0, NOTHING)
        return self._found

    def _descend(self, index: int, skipped: Cost) -> None:
        """Try all places for the demand at ``index`` and for those after it. A group is left out as a whole."""
        if self._steps <= 0 or self._lower_bound(index, skipped) >= self._best:
            return
        self._steps -= 1
        if index == len(self._demands):
            self._best = self._lower_bound(index, skipped)
            self._found, self.slots = True, self._layout.slots()
            return
        demand = self._demands[index]
        for spot in sorted(self._spots(demand), key=lambda spot: (spot.cost, _free(spot))):
            self._layout.put(demand, spot)
            self._descend(index + 1, skipped)
            self._layout.take(demand)
        if end := self._ends.get(index):
            left_out = map(self._layout.without, self._demands[index:end])
            self._descend(end, reduce(plus, left_out, skipped))

    def _spots(self, demand: Demand) -> Iterator[Spot]:
        """All places that differ."""
        kept = self._layout.kept.get(demand.key)
        seen: set[Hashable] = set()
        for room in self._layout.rooms:
            if kept and kept.node == room.node.name and room.fits(demand, kept.devices):
                yield self._layout.spot(demand, room, kept.devices)
            if room.residents or (looks := self._looks(room)) not in seen:
                yield from (self._layout.spot(demand, room, devices) for devices in room.choices(demand))
            if not room.residents:
                seen.add(looks)

    def _looks(self, room: Room) -> Hashable:
        """Empty nodes that look the same are the same, unless something stays on one of them."""
        node = room.node
        is_kept = any(slot.node == node.name for slot in self._layout.kept.values())
        offered = (node.gpu, node.num_devices, node.memory_bytes, node.num_cpus)
        return (*offered, node.price_per_hour, node.stored, node.name if is_kept else "")

    def _lower_bound(self, index: int, skipped: Cost) -> Cost:
        """Of all placements that start as this one does."""
        fewest_unplaced = fewest_holds = 0
        for rooms, remaining in self._kinds.values():
            unplaced, holds = _fewest(rooms, remaining[index])
            fewest_unplaced += unplaced
            fewest_holds += holds
        cost = list(plus(self._layout.cost, skipped)[: self._num_entries])
        cost[UNPLACED] += fewest_unplaced
        if self._num_entries > HOLDS and not fewest_unplaced:
            cost[HOLDS] += fewest_holds
        return tuple(cost)


def _ends(demands: Sequence[Demand]) -> dict[int, int]:
    """For the index of the first part of each group, the index after its last one."""
    starts = [i for i, demand in enumerate(demands) if not i or demand.group != demands[i - 1].group]
    return dict(pairwise([*starts, len(demands)]))


def _rooms_of(layout: Layout, kind: str) -> tuple[Room, ...]:
    return tuple(room for room in layout.rooms if room.node.gpu and room.node.gpu.name == kind)


def _remaining(demands: Sequence[Demand], kind: str) -> tuple[_Remaining, ...]:
    """For each index, of the demands from there on."""
    sizes = [demand.own_bytes * (demand.device == kind) for demand in demands]
    of_group: Counter[Group] = Counter()
    for demand, size in zip(demands, sizes, strict=True):
        of_group[demand.group] += size
    totals = [0, *accumulate(reversed(sizes))]
    largest = [0, *accumulate((of_group[demand.group] for demand in reversed(demands)), max)]
    return tuple(_Remaining(*both) for both in zip(reversed(totals), reversed(largest), strict=True))


def _fewest(rooms: Sequence[Room], remaining: _Remaining) -> tuple[int, int]:
    """The fewest demands that stay unplaced, and the fewest further GPUs, by volume alone."""
    free = free_in_use = usable = 0
    for room in rooms:
        usable = max(usable, room.usable_bytes)
        free += sum(room.free_units) * room.usable_bytes
        free_in_use += sum(units for units, on in room.devices() if on) * room.usable_bytes
    needed = remaining.total_bytes * RAY_UNITS
    excess = max(0, needed - free)
    unplaced = -(-excess // (remaining.largest_bytes * RAY_UNITS)) if excess else 0
    holds = -(-max(0, needed - free_in_use) // (usable * RAY_UNITS)) if usable else 0
    return unplaced, holds


def _free(spot: Spot) -> int:
    """What is free where it would go: the tightest place is tried first."""
    return sum(spot.room.free_units[index] for index in spot.devices) if spot.devices else spot.room.free_bytes
