"""Which constraint keeps a replica from a place, in numbers. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from models.memory.plan import format_bytes
from models.placement.layout import Layout
from models.placement.room import Room, cpu_units
from models.placement.slots import CPU, RAY_UNITS, Demand


class Constraint(StrEnum):
    """What binds: first what holds on an empty cluster too, then totals, last what is left beside the others."""

    NO_DEVICE = "no device of the kind"
    DEVICE = "one device"
    RANKS = "devices of one node"
    GROUP = "devices of all nodes, one for each rank"
    NODE_MEMORY = "memory of one node"
    NODE_CPUS = "CPUs of one node"
    ALL_DEVICES = "all devices"
    ALL_MEMORY = "memory of all nodes"
    ALL_CPUS = "CPUs of all nodes"
    FREE_DEVICE = "free on one device"
    FREE_MEMORY = "free memory of one node"
    FREE_CPUS = "free CPUs of one node"


@dataclass(frozen=True, slots=True)
class Shortage:
    """``needed`` is more than ``available``: bytes, GPUs or CPUs, as the constraint says. ``text`` says it."""

    constraint: Constraint
    needed: float
    available: float
    text: str


@dataclass(frozen=True, slots=True)
class _Check:
    """What some room must have. ``text`` gets the most that one has."""

    constraint: Constraint
    needed: float
    available: Callable[[Room], float]
    text: Callable[[float], str]


def find_shortage(demand: Demand, demands: Sequence[Demand], layout: Layout) -> Shortage:
    """What keeps ``demand`` from a place in ``layout``, where ``demands`` were to be placed.

    ValueError if nothing does.
    """
    rooms = [room for room in layout.rooms if demand.device == CPU or room.units(demand) is not None]
    if not any(demand.device == CPU or room.free_units for room in rooms):
        return _no_device(demand, layout)
    empty = [Room(room.node) for room in rooms]
    alike = [each for each in demands if demand.device in (CPU, each.device) and _fits_alone(each, empty)]
    found = (
        _first_failed(_alone(demand), empty)
        or _too_few_devices(demand, demands, empty)
        or _all_together(demand, alike, empty)
        or _first_failed(_beside(demand, rooms), rooms)
    )
    if found is None:
        raise ValueError(f"replica {demand.replica} of {demand.model} has room in the placement")
    return found


def room_bytes(demand: Demand, layout: Layout) -> int:
    """The most that a demand like this could take of each of its devices beside what is placed."""
    rooms = [room for room in layout.rooms if room.has_cpus(demand)]
    if demand.device == CPU:
        beside = (room.free_bytes - room.node_bytes(demand) + demand.own_bytes for room in rooms)
        return max(beside, default=0) // demand.num_ranks
    return max((_free_on_device(room, demand) for room in rooms if room.has_memory(demand)), default=0)


def _no_device(demand: Demand, layout: Layout) -> Shortage:
    there = sorted({room.node.gpu.name for room in layout.rooms if room.node.gpu and room.free_units})
    text = f"{_needs(demand)} the GPU {demand.device}; the nodes have {', '.join(there) or 'no GPU'}"
    return Shortage(Constraint.NO_DEVICE, demand.num_ranks, 0, text)


def _needs(demand: Demand) -> str:
    """Whose needs these are."""
    if demand.num_parts == 1:
        return "it needs"
    first, last = demand.ranks[0], demand.ranks[-1]
    return f"its rank {first} needs" if first == last else f"its ranks {first} to {last} need"


def _too_few_devices(demand: Demand, demands: Sequence[Demand], empty: Sequence[Room]) -> Shortage | None:
    """Whether the ranks of its group are more than all GPUs of the kind."""
    needed = sum(each.num_ranks for each in demands if each.group == demand.group)
    there = sum(len(room.free_units) for room in empty)
    if demand.device == CPU or needed <= there:
        return None
    text = f"it needs {needed} {demand.device}, one for each rank; all nodes together have {there}"
    return Shortage(Constraint.GROUP, needed, there, text)


def _fits_alone(demand: Demand, empty: Sequence[Room]) -> bool:
    return any(room.tightest(demand) is not None for room in empty)


def _first_failed(checks: Iterator[_Check], rooms: Sequence[Room]) -> Shortage | None:
    """The first check that none of the rooms passes of those that passed the checks before."""
    for check in checks:
        most = max(check.available(room) for room in rooms)
        if most < check.needed:
            return Shortage(check.constraint, check.needed, most, check.text(most))
        rooms = [room for room in rooms if check.available(room) >= check.needed]
    return None


def _alone(demand: Demand) -> Iterator[_Check]:
    """On an empty cluster."""
    if demand.device != CPU:
        yield _Check(
            Constraint.DEVICE,
            demand.device_bytes,
            lambda room: room.usable_bytes,
            lambda most: (
                f"{_needs(demand)} {_size(demand.device_bytes)} of one {demand.device}, "
                f"of which {_size(most)} are usable"
            ),
        )
        yield _Check(
            Constraint.RANKS,
            demand.num_ranks,
            lambda room: len(room.free_units),
            lambda most: (
                f"{_needs(demand)} {demand.num_ranks} {demand.device} of one node; the largest node has {most}"
            ),
        )
    yield from _on_node(demand, Constraint.NODE_MEMORY, Constraint.NODE_CPUS, "the largest node has {}")


def _beside(demand: Demand, rooms: Sequence[Room]) -> Iterator[_Check]:
    """Beside all that is placed."""
    if demand.device != CPU:
        free = (
            sum(sum(room.free_units) * room.node.gpu.usable_bytes for room in rooms if room.node.gpu) // RAY_UNITS
        )
        ranks = "one" if demand.num_ranks == 1 else f"each of {demand.num_ranks} on one node"
        ranks += "" if demand.num_parts == 1 else " without its other ranks"
        yield _Check(
            Constraint.FREE_DEVICE,
            demand.device_bytes,
            lambda room: _free_on_device(room, demand),
            lambda most: (
                f"{_needs(demand)} {_size(demand.device_bytes)} of a {demand.device}, "
                f"and at most {_size(most)} are free on {ranks}, {_size(free)} on all"
            ),
        )
    yield from _on_node(demand, Constraint.FREE_MEMORY, Constraint.FREE_CPUS, "at most {} are free on one")


def _on_node(demand: Demand, memory: Constraint, cpus: Constraint, has: str) -> Iterator[_Check]:
    """Of the node, beside its GPUs. What a replica shares counts where there is none yet."""
    needed = _node_bytes(demand)
    yield _Check(
        memory,
        needed,
        lambda room: room.free_bytes + needed - room.node_bytes(demand),
        lambda most: f"{_needs(demand)} {_size(needed)} of a node's memory; {has.format(_size(most))}",
    )
    yield _Check(
        cpus,
        cpu_units(demand) / RAY_UNITS,
        lambda room: room.free_cpu_units / RAY_UNITS,
        lambda most: f"{_needs(demand)} {demand.num_cpus:g} CPUs of a node; {has.format(f'{most:g}')}",
    )


def _all_together(demand: Demand, alike: Sequence[Demand], empty: Sequence[Room]) -> Shortage | None:
    """What all demands that share the kind of node need, against all that there is of it."""
    totals = [_all_memory(alike, empty), _all_cpus(alike, empty)]
    if demand.device != CPU:
        totals.insert(0, _all_devices(demand.device, alike, empty))
    return next((total for total in totals if total.needed > total.available), None)


def _all_devices(kind: str, demands: Sequence[Demand], empty: Sequence[Room]) -> Shortage:
    needed = sum(demand.own_bytes for demand in demands)
    num_devices = sum(len(room.free_units) for room in empty)
    there = sum(len(room.free_units) * room.usable_bytes for room in empty)
    text = f"all replicas together need {_size(needed)} of {kind}; all {num_devices} have {_size(there)}"
    return Shortage(Constraint.ALL_DEVICES, needed, there, text)


def _all_memory(demands: Sequence[Demand], empty: Sequence[Room]) -> Shortage:
    """What is shared at least once."""
    on_cpu = [demand for demand in demands if demand.device == CPU]
    shared = {(demand.model, demand.part): demand.shared_bytes for demand in on_cpu}
    needed = sum(demand.host_bytes for demand in demands)
    needed += sum(demand.own_bytes for demand in on_cpu) + sum(shared.values())
    there = sum(room.free_bytes for room in empty)
    text = f"all replicas together need {_size(needed)} of the nodes' memory, which is {_size(there)}"
    return Shortage(Constraint.ALL_MEMORY, needed, there, text)


def _all_cpus(demands: Sequence[Demand], empty: Sequence[Room]) -> Shortage:
    needed = sum(map(cpu_units, demands)) / RAY_UNITS
    there = sum(room.free_cpu_units for room in empty) / RAY_UNITS
    text = f"all replicas together need {needed:g} CPUs; the nodes have {there:g}"
    return Shortage(Constraint.ALL_CPUS, needed, there, text)


def _node_bytes(demand: Demand) -> int:
    """Of a node where no other replica of the model is."""
    own = demand.own_bytes + demand.shared_bytes if demand.device == CPU else 0
    return own + demand.host_bytes


def _free_on_device(room: Room, demand: Demand) -> int:
    """The most bytes that are free on as many of the node's GPUs as the demand has ranks."""
    if room.units(demand) is None or len(room.free_units) < demand.num_ranks:
        return 0
    return sorted(room.open_units(demand), reverse=True)[demand.num_ranks - 1] * room.usable_bytes // RAY_UNITS


def _size(num_bytes: float) -> str:
    return format_bytes(int(num_bytes))
