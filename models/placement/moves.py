"""Finds a place for one demand: a free one, or one that others give way to. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, islice

from models.placement.layout import Layout, Spot
from models.placement.room import FETCHES, HOLDS, SAME_DEVICE, SAME_NODE, Cost, Devices, Room
from models.placement.slots import CPU, RAY_UNITS, Demand


@dataclass(frozen=True, slots=True)
class Rules:
    """How a place is chosen. ``spread``: away from the model's other replicas first. ``stored``: a node with the
    weights before a tighter fit. ``only_used``: open no other device. ``at_most``: what it may cost before devices
    in use are counted."""

    spread: bool = True
    stored: bool = True
    only_used: bool = False
    at_most: Cost | None = None

    def allow(self, cost: Cost) -> bool:
        """Whether a place with this cost may be taken."""
        opens = self.only_used and cost[HOLDS]
        return not opens and (self.at_most is None or cost[:HOLDS] <= self.at_most)

    def no_worse_than(self, cost: Cost) -> Rules:
        """For a replica that had a place at this cost and has to take another."""
        return self if self.at_most is None else replace(self, at_most=cost[:HOLDS])

    def rank(self, cost: Cost) -> Cost:
        """The cost without what the rules leave out, to compare places by."""
        left_out = set[int]()
        if not self.spread:
            left_out |= {SAME_NODE, SAME_DEVICE}
        if not self.stored:
            left_out.add(FETCHES)
        return tuple(entry for index, entry in enumerate(cost) if index not in left_out) if left_out else cost


def best_spot(layout: Layout, demand: Demand, rules: Rules) -> Spot | None:
    """The best place that is free; None if there is none."""
    best: Spot | None = None
    best_rank: tuple[int, ...] = ()
    for room in layout.rooms:
        spot = spot_in(layout, demand, room, rules)
        if spot is not None:
            rank = (*rules.rank(spot.cost), _left_over(demand, spot))
            if best is None or rank < best_rank:
                best, best_rank = spot, rank
    return best


def insert(layout: Layout, demand: Demand, rules: Rules) -> bool:
    """Place the demand at the best free place, if there is one."""
    spot = best_spot(layout, demand, rules)
    if spot is not None:
        layout.put(demand, spot)
    return spot is not None


def find_place(layout: Layout, demand: Demand, rules: Rules) -> bool:
    """Place the demand at a free place, or where others can give way."""
    return insert(layout, demand, rules) or make_room(layout, demand, rules)


def make_room(layout: Layout, demand: Demand, rules: Rules) -> bool:
    """Place the demand where smaller replicas, on one device, can give way: one, two, or the largest of them."""
    if not _has_volume(layout, demand):
        return False
    freest = _freest(layout, rules)
    for room in layout.rooms:
        if Room(room.node).tightest(demand) is not None:
            for victims in _evictions(room, demand, freest):
                if _exchange(layout, demand, victims, room, rules):
                    return True
    return False


def spot_in(layout: Layout, demand: Demand, room: Room, rules: Rules) -> Spot | None:
    """The best place in the room; None if it has none."""
    devices = room.tightest(demand, spread=rules.spread, only_used=rules.only_used)
    if devices is None:
        return None
    spot = layout.spot(demand, room, devices)
    return spot if rules.allow(spot.cost) else None


def _left_over(demand: Demand, spot: Spot) -> int:
    room = spot.room
    if demand.device == CPU:
        return room.free_bytes - room.node_bytes(demand)
    return sum(room.free_units[index] for index in spot.devices)


def _has_volume(layout: Layout, demand: Demand) -> bool:
    """Whether all that is free, taken together, would do."""
    if demand.device == CPU:
        return sum(room.free_bytes for room in layout.rooms) >= demand.own_bytes + demand.host_bytes
    rooms = [(room, units) for room in layout.rooms if (units := room.units(demand)) is not None]
    needed = demand.num_ranks * min((units for _, units in rooms), default=RAY_UNITS)
    return sum(sum(room.free_units) for room, _ in rooms) >= needed


def _freest(layout: Layout, rules: Rules) -> dict[str, tuple[int, int]]:
    """The most units that are free on one GPU of each kind, and on another one."""
    free: dict[str, list[int]] = {}
    for room in layout.rooms:
        if room.node.gpu:
            open_units = [units for units, on in room.devices() if on or not rules.only_used]
            free.setdefault(room.node.gpu.name, [0, 0]).extend(open_units)
    return {kind: (max(units), sorted(units)[-2]) for kind, units in free.items()}


def _evictions(room: Room, demand: Demand, freest: Mapping[str, tuple[int, int]]) -> Iterator[tuple[Demand, ...]]:
    """Who could give way: smaller ones only, so that no two displace each other for ever."""
    movable = [
        other
        for other, devices in room.residents.values()
        if _size(other) < _size(demand) and _may_move(room, other, devices, freest)
    ]
    movable.sort(key=lambda other: (_size(other), other.key))
    for victims in (*((other,) for other in movable), *_pairs(room, movable)):
        if _frees_enough(room, demand, victims):
            yield victims
    for index in range(len(room.free_units)):
        on_device = [other for other in reversed(movable) if index in room.residents[other.key][1]]
        enough = (n for n in range(3, len(on_device) + 1) if _frees_enough(room, demand, on_device[:n]))
        yield from (tuple(on_device[:n]) for n in islice(enough, 1))


def _may_move(room: Room, demand: Demand, devices: Devices, freest: Mapping[str, tuple[int, int]]) -> bool:
    """Whether another GPU has as many units free as the demand takes of this one."""
    units = room.units(demand)
    if units is None:
        return True
    most, second = freest[demand.device]
    return units <= (second if any(room.free_units[index] == most for index in devices) else most)


def _pairs(room: Room, demands: Sequence[Demand]) -> Iterator[tuple[Demand, Demand]]:
    """Those that share a device."""
    for first, second in combinations(demands, 2):
        if not set(room.residents[first.key][1]).isdisjoint(room.residents[second.key][1]):
            yield first, second


def _frees_enough(room: Room, demand: Demand, victims: Sequence[Demand]) -> bool:
    """Whether the GPUs have room for the demand when the victims are gone."""
    units = room.units(demand)
    if units is None:
        return True
    freed: Counter[int] = Counter()
    for victim in victims:
        for index in room.residents[victim.key][1]:
            freed[index] += room.units(victim) or 0
    fitting = sum(free + freed[index] >= units for index, free in enumerate(room.free_units))
    return fitting >= demand.num_ranks


def _size(demand: Demand) -> int:
    return demand.own_bytes + demand.host_bytes


def _exchange(layout: Layout, demand: Demand, victims: tuple[Demand, ...], room: Room, rules: Rules) -> bool:
    """Take the victims away, put the demand into the room, and the victims elsewhere; as before if that fails."""
    spots = [layout.take(victim) for victim in victims]
    target = spot_in(layout, demand, room, rules)
    if target is not None:
        layout.put(demand, target)
        moves = zip(reversed(victims), reversed(spots), strict=True)
        returned = [victim for victim, spot in moves if insert(layout, victim, rules.no_worse_than(spot.cost))]
        if len(returned) == len(victims):
            return True
        for victim in returned:
            layout.take(victim)
        layout.take(demand)
    for victim, spot in zip(reversed(victims), reversed(spots), strict=True):
        layout.put(victim, layout.spot(victim, spot.room, spot.devices))
    return False
