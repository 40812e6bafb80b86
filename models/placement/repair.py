"""Moves what is placed already: to part replicas of one model, and to empty devices. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from models.placement.groups import Parts, by_group, find_group
from models.placement.layout import Layout
from models.placement.moves import Rules, find_place
from models.placement.room import HOLDS, SAME_NODE, Cost, Room
from models.placement.slots import CPU, RAY_UNITS, Demand


@dataclass(frozen=True, slots=True)
class Hold:
    """What can be emptied: one GPU of a node, or (``device`` None) a node's memory as the hold of CPU replicas."""

    room: Room
    device: int | None

    def residents(self) -> list[Demand]:
        """Who uses it, the largest first."""
        found = [demand for demand, devices in self.room.residents.values() if self._is_used(demand, devices)]
        return sorted(found, key=lambda demand: (-demand.num_ranks, -demand.device_bytes, demand.key))

    def _is_used(self, demand: Demand, devices: tuple[int, ...]) -> bool:
        return demand.device == CPU if self.device is None else self.device in devices

    def load(self) -> int:
        """Its share in use, in RAY_UNITS."""
        if self.device is not None:
            return RAY_UNITS - self.room.free_units[self.device]
        total = self.room.node.memory_bytes
        return (total - self.room.free_bytes) * RAY_UNITS // total if total else 0


def part_replicas(layout: Layout) -> None:
    """Move replicas that share a node with one of their model to nodes with fewer of it."""
    for parts in by_group([demand for demand, _ in layout.placed.values()]):
        if any(_may_part(layout, part) for part in parts):
            _try_to_part(layout, parts)


def _may_part(layout: Layout, demand: Demand) -> bool:
    together = layout.placed[demand.key][1].num_others(demand)
    elsewhere = [other for other in layout.rooms if other.num_others(demand) < together]
    return any(Room(other.node).tightest(demand) is not None for other in elsewhere)


def _try_to_part(layout: Layout, parts: Parts) -> None:
    before, saved = layout.cost, layout.snapshot()
    cost = [layout.take(part).cost for part in parts][-1]
    fewer = (*cost[:SAME_NODE], cost[SAME_NODE] - 1, *cost[SAME_NODE + 1 : HOLDS])
    # The parts of a group want to lie together: none may leave alone, whatever that costs the first of them.
    moved = find_group(layout, parts, Rules(at_most=fewer) if len(parts) == 1 else Rules())
    if not (moved and layout.cost < before):
        layout.restore(saved)


def empty_devices(layout: Layout) -> None:
    """Move what lies on a device to others, as long as that makes the placement better."""
    tried: set[tuple[str, int | None]] = set()
    while True:
        holds = [hold for hold in _holds(layout) if (hold.room.node.name, hold.device) not in tried]
        if not holds:
            return
        hold = min(holds, key=Hold.load)
        tried.add((hold.room.node.name, hold.device))
        _try_to_empty(layout, hold)


def _try_to_empty(layout: Layout, hold: Hold) -> None:
    if not _has_volume_for(layout, hold):
        return
    before, saved = layout.cost, layout.snapshot()
    taken = [(demand, layout.take(demand)) for demand in hold.residents()]
    moved = all(find_place(layout, demand, _in_use_only(spot.cost)) for demand, spot in taken)
    if not (moved and layout.cost < before):
        layout.restore(saved)


def _in_use_only(cost: Cost) -> Rules:
    return Rules(only_used=True, at_most=cost[:HOLDS])


def _has_volume_for(layout: Layout, hold: Hold) -> bool:
    """Whether what lies there is less than what is free on all other GPUs in use."""
    if hold.device is None:
        return True
    rooms = [room for room in layout.rooms if room.node.gpu == hold.room.node.gpu]
    free = sum(units for room in rooms for units, on in room.devices() if on)
    return hold.load() <= free - hold.room.free_units[hold.device]


def _holds(layout: Layout) -> Iterator[Hold]:
    for room in layout.rooms:
        if room.cpu_replicas:
            yield Hold(room, None)
        yield from (Hold(room, index) for index, on in enumerate(room.on_device) if on)
