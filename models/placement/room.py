"""What is left of one node while a placement is being found, and what a place in it costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations
from math import ceil, comb, floor
from operator import add, sub
from typing import TypeVar

from models.hardware import Node
from models.placement.slots import CPU, RAY_UNITS, Demand, Group, Key, Slot, gpu_units

Counted = TypeVar("Counted")

# What a placement costs, the most important first, so that tuples compare as placements do. Every entry can only
# grow when a demand is added. ``MOVED``: what leaves its present place. ``SPANS``: nodes of each group beyond one.
# ``SAME_NODE``, ``SAME_DEVICE``: pairs of different replicas of one model that lie together. ``ASTRAY``: CPU
# replicas on nodes with GPUs. ``HOLDS``: GPUs in use, and nodes in use by CPU replicas. ``PRICE``: of the nodes in
# use, in millionths. ``FETCHES``: replicas on nodes without their weights.
Cost = tuple[int, ...]
UNPLACED, MOVED, SPANS, SAME_NODE, SAME_DEVICE, ASTRAY, HOLDS, PRICE, NODES, FETCHES = range(10)
NOTHING: Cost = (0,) * 10

Devices = tuple[int, ...]

_MOST_COMBINATIONS = 500


def plus(left: Cost, right: Cost) -> Cost:
    """Entry by entry."""
    return tuple(map(add, left, right))


def minus(left: Cost, right: Cost) -> Cost:
    """Entry by entry."""
    return tuple(map(sub, left, right))


@dataclass(slots=True)
class Room:
    """One node: what is left of it, and what lies on it.

    ``replicas`` are counted by model, and by their group; CPU replicas by what they share.
    """

    node: Node
    free_units: list[int] = field(init=False)
    free_bytes: int = field(init=False)
    free_cpu_units: int = field(init=False)
    residents: dict[Key, tuple[Demand, Devices]] = field(default_factory=dict)
    replicas: Counter[str] = field(default_factory=Counter)
    groups: Counter[Group] = field(default_factory=Counter)
    cpu_replicas: Counter[tuple[str, int]] = field(default_factory=Counter)
    on_device: list[Counter[str]] = field(init=False)

    def __post_init__(self) -> None:
        num_devices = self.node.num_devices if self.node.gpu else 0
        self.free_units = [RAY_UNITS] * num_devices
        self.on_device = [Counter() for _ in range(num_devices)]
        self.free_bytes = self.node.memory_bytes
        self.free_cpu_units = floor(round(self.node.num_cpus * RAY_UNITS, 3))

    @property
    def usable_bytes(self) -> int:
        """Of each GPU; 0 where there is none."""
        return self.node.gpu.usable_bytes if self.node.gpu else 0

    def devices(self) -> Iterator[tuple[int, Counter[str]]]:
        """For each GPU its free units, and the models on it."""
        return zip(self.free_units, self.on_device, strict=True)

    def units(self, demand: Demand) -> int | None:
        """The units that each rank takes of one GPU here; None where there is no GPU of its kind."""
        gpu = self.node.gpu
        return gpu_units(demand.device_bytes, gpu) if gpu and gpu.name == demand.device else None

    def node_bytes(self, demand: Demand) -> int:
        """What the demand takes of the node's memory beside what is there."""
        if demand.device != CPU:
            return demand.host_bytes
        shared = 0 if self.cpu_replicas[_sharing(demand)] else demand.shared_bytes
        return demand.host_bytes + demand.own_bytes + shared

    def num_others(self, demand: Demand) -> int:
        """How often other replicas of its model lie here."""
        return self.replicas[demand.model] - self.groups[demand.group]

    def open_units(self, demand: Demand) -> list[int]:
        """The free units of each GPU; none where another rank of the demand's group is."""
        if demand.num_parts == 1:
            return self.free_units
        held = {
            index for other, devices in self.residents.values() if other.group == demand.group for index in devices
        }
        return [0 if index in held else units for index, units in enumerate(self.free_units)]

    def has_memory(self, demand: Demand) -> bool:
        return self.node_bytes(demand) <= self.free_bytes

    def has_cpus(self, demand: Demand) -> bool:
        return cpu_units(demand) <= self.free_cpu_units

    def fits(self, demand: Demand, devices: Devices) -> bool:
        """Whether the demand can lie on exactly these devices."""
        if not (self.has_memory(demand) and self.has_cpus(demand)):
            return False
        if demand.device == CPU:
            return not devices
        units = self.units(demand)
        free = self.open_units(demand)
        return (
            units is not None
            and len(set(devices)) == len(devices) == demand.num_ranks
            and all(index < len(free) and units <= free[index] for index in devices)
        )

    def tightest(self, demand: Demand, *, spread: bool = True, only_used: bool = False) -> Devices | None:
        """The devices that the demand fills best; None if it does not fit.

        ``spread``: first those without another replica of its model. ``only_used``: none that is empty.
        """
        if not (self.has_memory(demand) and self.has_cpus(demand)):
            return None
        if demand.device == CPU:
            return ()
        units = self.units(demand)
        if units is None:
            return None
        fitting = sorted(
            (on[demand.model] if spread else 0, not on, free, index)
            for index, (free, on) in enumerate(zip(self.open_units(demand), self.on_device, strict=True))
            if free >= units and (on or not only_used)
        )
        best = fitting[: demand.num_ranks]
        return tuple(sorted(index for *_, index in best)) if len(best) == demand.num_ranks else None

    def choices(self, demand: Demand) -> Iterator[Devices]:
        """Every choice of devices, of those that differ in nothing but their index only one.

        Only the tightest where there are too many.
        """
        num_devices = len(self.free_units)
        if demand.device == CPU or comb(num_devices, demand.num_ranks) > _MOST_COMBINATIONS:
            tightest = self.tightest(demand)
            yield from () if tightest is None else (tightest,)
            return
        seen = set()
        for devices in combinations(range(num_devices), demand.num_ranks):
            looks = tuple(sorted((self.free_units[i], tuple(sorted(self.on_device[i]))) for i in devices))
            if looks not in seen and self.fits(demand, devices):
                seen.add(looks)
                yield devices

    def cost(self, demand: Demand, devices: Devices, kept: Slot | None, *, spans: bool) -> Cost:
        """What the demand adds to the cost of the placement when it is put here.

        ``spans``: its group lies on other nodes, and not on this one.
        """
        node, model = self.node, demand.model
        on_cpu = demand.device == CPU
        first = not self.residents
        return (
            0,
            kept is not None and (kept.node != node.name or set(kept.devices) != set(devices)),
            spans,
            self.num_others(demand),
            sum(self.on_device[index][model] for index in devices),
            on_cpu and bool(self.free_units),
            not self.cpu_replicas if on_cpu else sum(not self.on_device[index] for index in devices),
            round((node.price_per_hour or 0) * 1_000_000) if first else 0,
            first,
            model not in node.stored,
        )

    def put(self, demand: Demand, devices: Devices) -> None:
        """Take what the demand needs."""
        self._book(demand, devices, 1)
        self.residents[demand.key] = demand, devices
        self._count(demand, devices, 1)

    def take(self, demand: Demand) -> Devices:
        """Undo ``put``; where it was."""
        _, devices = self.residents.pop(demand.key)
        self._count(demand, devices, -1)
        self._book(demand, devices, -1)
        return devices

    def _book(self, demand: Demand, devices: Devices, sign: int) -> None:
        self.free_bytes -= sign * self.node_bytes(demand)
        self.free_cpu_units -= sign * cpu_units(demand)
        units = self.units(demand) or 0
        for index in devices:
            self.free_units[index] -= sign * units

    def _count(self, demand: Demand, devices: Devices, sign: int) -> None:
        for counter in (self.replicas, *(self.on_device[index] for index in devices)):
            _add(counter, demand.model, sign)
        _add(self.groups, demand.group, sign)
        if demand.device == CPU:
            _add(self.cpu_replicas, _sharing(demand), sign)


def _sharing(demand: Demand) -> tuple[str, int]:
    """Demands on a node that have this in common share their weights."""
    return demand.model, demand.part


def _add(counter: Counter[Counted], counted: Counted, amount: int) -> None:
    counter[counted] += amount
    if not counter[counted]:
        del counter[counted]


def cpu_units(demand: Demand) -> int:
    """CPUs in RAY_UNITS, rounded up."""
    return ceil(round(demand.num_cpus * RAY_UNITS, 3))
