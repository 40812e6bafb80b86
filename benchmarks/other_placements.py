"""How others place GPU replicas: Ray Serve by default, and first-fit. Fractions as the plan has them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

from models.hardware import Node
from models.placement.slots import RAY_UNITS, Demand, Key, Placement, Slot, gpu_units


@dataclass(slots=True)
class RayNode:
    """A node as a raylet counts it: fractions are booked on one GPU, the fullest that has room."""

    node: Node
    free_units: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.free_units = [RAY_UNITS] * self.node.num_devices

    def offers(self, units: int) -> bool:
        """What the cluster's view of the node says: the sum of all its GPUs."""
        return sum(self.free_units) >= units

    def book(self, units: int) -> int | None:
        """The GPU; None when no single one has room."""
        fitting = [(free, index) for index, free in enumerate(self.free_units) if free >= units]
        if not fitting:
            return None
        _, index = min(fitting)
        self.free_units[index] -= units
        return index


def serve_spread(demands: Sequence[Demand], nodes: Sequence[Node], random: Random) -> Placement:
    """Ray Serve's default, for replicas of one rank.

    Serve asks for every replica with the strategy SPREAD. Ray then goes round the nodes, in the order of their
    random ids, on from the one after the last that was chosen, and takes the first that offers enough in sum. The
    node books one GPU; where no single one has room the replica stays pending there (seen on Ray 2.60; the tests
    have the observed sequences).
    """
    ring = [RayNode(node) for node in random.sample(list(nodes), len(nodes))]
    slots: dict[Key, Slot] = {}
    start = 0
    for demand in demands:
        units = _units(demand, nodes)
        turns = [(start + turn) % len(ring) for turn in range(len(ring))]
        chosen = next((index for index in turns if ring[index].offers(units)), None)
        if chosen is not None:
            start = chosen + 1
            device = ring[chosen].book(units)
            if device is not None:
                slots[demand.key] = Slot(ring[chosen].node.name, (device,))
    return _placement(slots, demands)


def first_fit(demands: Sequence[Demand], nodes: Sequence[Node]) -> Placement:
    """Each demand, as it arrives, to the first devices with room; no other replica of its model is looked at."""
    rooms = [RayNode(node) for node in nodes]
    slots: dict[Key, Slot] = {}
    for demand in demands:
        units = _units(demand, nodes)
        for room in rooms:
            devices = [index for index, free in enumerate(room.free_units) if free >= units][: demand.num_ranks]
            if len(devices) == demand.num_ranks:
                slots[demand.key] = Slot(room.node.name, tuple(devices))
                for index in devices:
                    room.free_units[index] -= units
                break
    return _placement(slots, demands)


def refused_by_ray(placement: Placement, demands: Iterable[Demand], nodes: Sequence[Node]) -> list[Demand]:
    """What Ray refuses although each node gets only what is planned for it; ``demands`` as they arrive.

    Ray chooses the GPU: the fullest that has room, at the time of arrival.
    """
    rooms = {node.name: RayNode(node) for node in nodes}
    return [
        demand
        for demand in demands
        if demand.key in placement.slots
        and rooms[placement.slots[demand.key].node].book(_units(demand, nodes)) is None
    ]


def _units(demand: Demand, nodes: Sequence[Node]) -> int:
    """All nodes of an instance have the same GPUs."""
    gpu = nodes[0].gpu
    if gpu is None:
        raise ValueError(f"{nodes[0].name} has no GPU")
    return gpu_units(demand.device_bytes, gpu)


def _placement(slots: dict[Key, Slot], demands: Sequence[Demand]) -> Placement:
    return Placement(slots, tuple(demand for demand in demands if demand.key not in slots))
