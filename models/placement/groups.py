"""Places all parts of a replica, or none of them, on as few nodes as can be. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

from models.placement.layout import Layout, Spot
from models.placement.moves import Rules, insert, make_room, spot_in
from models.placement.room import NOTHING, Cost, Room, plus
from models.placement.slots import Demand, Group

Parts = tuple[Demand, ...]


@dataclass(frozen=True, slots=True)
class _Filling:
    """Which parts one room would take, and the rank of that: the least is the best."""

    spots: tuple[tuple[Demand, Spot], ...]
    rank: tuple[int, ...]


def by_group(demands: Iterable[Demand]) -> list[Parts]:
    """The parts of each replica, in the order of the first of them."""
    groups: dict[Group, list[Demand]] = {}
    for demand in demands:
        groups.setdefault(demand.group, []).append(demand)
    return list(map(tuple, groups.values()))


def insert_group(layout: Layout, parts: Parts, rules: Rules) -> bool:
    """Place those parts that have no place, at free ones; take all of them away where that cannot be done."""
    if not insert_some(layout, parts, rules):
        return True
    remove_group(layout, parts)
    return False


def find_group(layout: Layout, parts: Parts, rules: Rules) -> bool:
    """Place all parts, which have no places, at free ones, or where others can give way."""
    if insert_group(layout, parts, rules):
        return True
    saved = layout.snapshot()
    if all(insert(layout, part, rules) or make_room(layout, part, rules) for part in _large_first(parts)):
        return True
    layout.restore(saved)
    return False


def insert_some(layout: Layout, parts: Parts, rules: Rules) -> Parts:
    """Place as many parts as find a free place, the next on the node that takes the most; those left over."""
    missing = _large_first(part for part in parts if part.key not in layout.placed)
    if len(parts) == 1:
        return tuple(part for part in missing if not insert(layout, part, rules))
    while missing:
        best = min((_fill(layout, missing, room, rules) for room in layout.rooms), key=_rank, default=None)
        if best is None or not best.spots:
            break
        for part, spot in best.spots:
            layout.put(part, spot)
        missing = [part for part in missing if part.key not in layout.placed]
    return tuple(missing)


def remove_group(layout: Layout, parts: Parts) -> None:
    """Take away those parts that have a place."""
    for part in parts:
        if part.key in layout.placed:
            layout.take(part)


def _fill(layout: Layout, parts: Sequence[Demand], room: Room, rules: Rules) -> _Filling:
    """As many of the parts as the room takes, one after the other. Leaves the layout as it was."""
    spots = []
    for part in parts:
        spot = spot_in(layout, part, room, rules)
        if spot is not None:
            layout.put(part, spot)
            spots.append((part, spot))
    left_over = sum(room.free_units) or room.free_bytes
    for part, _ in reversed(spots):
        layout.take(part)
    cost: Cost = reduce(plus, (spot.cost for _, spot in spots), NOTHING)
    return _Filling(tuple(spots), (-len(spots), *rules.rank(cost), left_over))


def _rank(filling: _Filling) -> tuple[int, ...]:
    return filling.rank


def _large_first(parts: Iterable[Demand]) -> list[Demand]:
    return sorted(parts, key=lambda part: (-part.own_bytes, -part.host_bytes, part.part))
