"""A placement in the making: the rooms of all nodes, and what lies where. All that changes in the search."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from types import MappingProxyType

from models.hardware import Node
from models.placement.room import NOTHING, Cost, Devices, Room, minus, plus
from models.placement.slots import Demand, Group, Key, Slot

NO_SLOTS: Mapping[Key, Slot] = MappingProxyType({})


def natural(name: str) -> tuple[list[str | int], str]:
    """Sorts ``gpu-2`` before ``gpu-10``."""
    parts = re.split(r"(\d+)", name)
    return [int(part) if part.isdecimal() and part.isascii() else part for part in parts], name


@dataclass(frozen=True, slots=True)
class Spot:
    """A room and its devices: a place while it is being considered."""

    room: Room
    devices: Devices
    cost: Cost


class Layout:
    """A placement in the making."""

    def __init__(self, nodes: Sequence[Node], kept: Mapping[Key, Slot]) -> None:
        self.rooms = tuple(Room(node) for node in sorted(nodes, key=lambda node: natural(node.name)))
        self.kept = kept
        self.cost = NOTHING
        self.placed: dict[Key, tuple[Demand, Room]] = {}
        self._num_parts: Counter[Group] = Counter()
        self._by_name = {room.node.name: room for room in self.rooms}

    def room(self, name: str) -> Room | None:
        """The room of a node, None where there is no such node."""
        return self._by_name.get(name)

    def spot(self, demand: Demand, room: Room, devices: Devices) -> Spot:
        """A place with its cost."""
        spans = self._num_parts[demand.group] > 0 and not room.groups[demand.group]
        return Spot(room, devices, room.cost(demand, devices, self.kept.get(demand.key), spans=spans))

    def put(self, demand: Demand, spot: Spot) -> None:
        """Place the demand; it must fit."""
        spot.room.put(demand, spot.devices)
        self.placed[demand.key] = demand, spot.room
        self._num_parts[demand.group] += 1
        self.cost = plus(self.cost, spot.cost)

    def take(self, demand: Demand) -> Spot:
        """Take the demand away; where it was, and what it cost."""
        _, room = self.placed.pop(demand.key)
        self._num_parts[demand.group] -= 1
        spot = self.spot(demand, room, room.take(demand))
        self.cost = minus(self.cost, spot.cost)
        return spot

    def put_at(self, demand: Demand, slot: Slot) -> bool:
        """Place the demand exactly there, if it fits."""
        room = self.room(slot.node)
        if room is None or not room.fits(demand, slot.devices):
            return False
        self.put(demand, self.spot(demand, room, slot.devices))
        return True

    def snapshot(self) -> dict[Key, tuple[Demand, Room, Devices]]:
        """Where everything lies now, for ``restore``."""
        return {key: (demand, room, room.residents[key][1]) for key, (demand, room) in self.placed.items()}

    def restore(self, saved: Mapping[Key, tuple[Demand, Room, Devices]]) -> None:
        """As it was when ``saved`` was taken."""
        now = self.snapshot()
        for key in now:
            if now[key] != saved.get(key):
                self.take(now[key][0])
        for key, (demand, room, devices) in saved.items():
            if key not in self.placed:
                self.put(demand, self.spot(demand, room, devices))

    def without(self, demand: Demand) -> Cost:
        """What it costs that the demand has no place: losing one that it has counts as a move.

        A group counts once.
        """
        return (demand.part == 0, demand.key in self.kept, *NOTHING[2:])

    def cost_of(self, demands: Iterable[Demand]) -> Cost:
        """The cost of the placement if these were to be placed."""
        left = (self.without(demand) for demand in demands if demand.key not in self.placed)
        return reduce(plus, left, self.cost)

    def slots(self) -> dict[Key, Slot]:
        """Where everything lies now."""
        return {key: self._slot(key, room) for key, (_, room) in self.placed.items()}

    def _slot(self, key: Key, room: Room) -> Slot:
        slot = Slot(room.node.name, room.residents[key][1])
        kept = self.kept.get(key)
        return kept if kept and (kept.node, set(kept.devices)) == (slot.node, set(slot.devices)) else slot


def lay_out(
    demands: Iterable[Demand],
    nodes: Sequence[Node],
    slots: Mapping[Key, Slot],
    kept: Mapping[Key, Slot] = NO_SLOTS,
) -> Layout:
    """A layout with the demands whose slot holds them."""
    layout = Layout(nodes, kept)
    for demand in demands:
        if demand.key in slots:
            layout.put_at(demand, slots[demand.key])
    return layout
