"""The smallest group of ranks that holds a model with the limits that are wanted. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from models.errors import DoesNotFitError
from models.memory.changes import cheaper_changes
from models.memory.dividing import divide
from models.memory.divisible import why_not
from models.memory.plan import MemoryPlan, format_bytes, plan_replica
from models.memory.sizing import Replica
from models.parallel.layout import Degree
from models.spec import Limits


@dataclass(frozen=True, slots=True)
class NodeDevices:
    """What one node has for the ranks of a group: devices of one kind, of which each takes one rank."""

    num_devices: int
    usable_bytes: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A degree, and why it will not do. ``needed_bytes`` of a rank are 0 where the model cannot be divided so."""

    degree: Degree
    reason: str
    needed_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """The smallest degree that will do, None if there is none, and those before it that will not."""

    degree: Degree | None
    refused: tuple[Refused, ...]


def smallest_degree(
    replica: Replica, limits: Limits, nodes: Sequence[NodeDevices], budget_bytes: int | None = None
) -> Found:
    """The fewest ranks of which each fits its device, and ``budget_bytes`` if that is given, with ``limits``.

    Of as many ranks those with more slices of each matrix: the ranks of a stage lie on one node, where they reach
    each other fastest, and stages may lie on several.
    """
    refused: list[Refused] = []
    for degree in _degrees(nodes):
        refusal = _refusal(replica, limits, degree, _room(nodes, degree, budget_bytes))
        if refusal is None:
            return Found(degree, tuple(refused))
        refused.append(refusal)
    return Found(None, tuple(refused))


def plan_smallest(
    replica: Replica, limits: Limits, nodes: Sequence[NodeDevices], budget_bytes: int | None = None
) -> MemoryPlan:
    """The plan at ``smallest_degree``. DoesNotFitError says of the degrees on these nodes why none will do."""
    wanted = limits.model_copy(update={"max_model_len": replica.model_len(limits)})
    found = smallest_degree(replica, wanted, nodes, budget_bytes)
    if found.degree is not None:
        return plan_replica(replica, limits, budget_bytes, found.degree)
    nearest = min((each for each in found.refused if each.needed_bytes), key=_needed_bytes).degree
    room_bytes = _room(nodes, nearest, budget_bytes)
    changes = cheaper_changes(divide(replica, wanted, nearest), wanted, room_bytes)
    more = "use more or larger devices"
    raise DoesNotFitError(
        f"{replica.manifest.id} fits in no way in which it can be divided: {'; '.join(_reasons(found.refused))}",
        remedy=f"{changes[0]} (with {nearest}), or {more}" if changes else more,
    )


def _degrees(nodes: Sequence[NodeDevices]) -> Iterator[Degree]:
    """Those that the nodes have devices for, in the order in which they are tried."""
    for num_ranks in range(1, sum(node.num_devices for node in nodes) + 1):
        for tensor in range(num_ranks, 0, -1):
            degree = Degree(tensor, num_ranks // tensor)
            if num_ranks % tensor == 0 and _num_stages(nodes, tensor) >= degree.pipeline:
                yield degree


def _num_stages(nodes: Sequence[NodeDevices], tensor: int) -> int:
    """Stages whose ranks find a device each, all on one node."""
    return sum(node.num_devices // tensor for node in nodes)


def _room(nodes: Sequence[NodeDevices], degree: Degree, budget_bytes: int | None) -> int:
    """What the smallest device has that the group takes if it takes the largest."""
    num_stages, room = 0, 0
    for node in sorted(nodes, key=lambda node: -node.usable_bytes):
        if num_stages < degree.pipeline and node.num_devices >= degree.tensor:
            num_stages, room = num_stages + node.num_devices // degree.tensor, node.usable_bytes
    return room if budget_bytes is None else min(room, budget_bytes)


def _refusal(replica: Replica, limits: Limits, degree: Degree, room_bytes: int) -> Refused | None:
    reason = why_not(replica.manifest, replica.engine, degree)
    if reason is not None:
        return Refused(degree, reason)
    needed_bytes = divide(replica, limits, degree).total_bytes(limits)
    if needed_bytes <= room_bytes:
        return None
    reason = f"needs {format_bytes(needed_bytes)} on a device, which has {format_bytes(room_bytes)}"
    return Refused(degree, reason, needed_bytes)


def _reasons(refused: Sequence[Refused]) -> Iterator[str]:
    """Those that have nothing to do with bytes once each, then the smallest need for each number of slices."""
    yield from dict.fromkeys(each.reason for each in refused if not each.needed_bytes)
    sized = [each for each in refused if each.needed_bytes]
    for tensor in dict.fromkeys(each.degree.tensor for each in sized):
        least = min((each for each in sized if each.degree.tensor == tensor), key=_needed_bytes)
        yield f"{least.degree} {least.reason}"


def _needed_bytes(refused: Refused) -> int:
    return refused.needed_bytes
