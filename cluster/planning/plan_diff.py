"""What changes between two plans for the same nodes: applications, places and bytes. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cluster.config.config_changes import ConfigChange, Effect
from cluster.planning.bars import Bar, NodeBars
from cluster.planning.planned import ClusterPlan
from models.placement.slots import Slot

_IN_PLACE = (Effect.RECONFIGURES, Effect.SCALES, Effect.STAYS)


@dataclass(frozen=True, slots=True)
class ApplicationDiff:
    """What happens to one application. Places: one for each replica, or stage of one, None for one without; bytes:
    of all replicas.

    The router has neither places nor bytes.
    """

    name: str
    effect: Effect
    reasons: tuple[str, ...]
    old_places: tuple[Slot | None, ...] = ()
    new_places: tuple[Slot | None, ...] = ()
    old_bytes: int = 0
    new_bytes: int = 0


@dataclass(frozen=True, slots=True)
class DeviceDiff:
    """A GPU, or the memory of a node (``index`` None), that holds other bytes than before."""

    node: str
    index: int | None
    label: str
    capacity_bytes: int
    old_bytes: int
    new_bytes: int


@dataclass(frozen=True, slots=True)
class PlanDiff:
    """All applications, changed or not, and the devices that change. ``notes``: what Serve does not take live."""

    applications: tuple[ApplicationDiff, ...]
    devices: tuple[DeviceDiff, ...]
    notes: tuple[str, ...]

    @property
    def changes(self) -> bool:
        return bool(self.notes) or any(app.effect is not Effect.STAYS for app in self.applications)


def diff_plans(
    old: ClusterPlan, new: ClusterPlan, changes: Sequence[ConfigChange], notes: Sequence[str] = ()
) -> PlanDiff:
    """``changes`` and ``notes`` are those of the configurations of the two plans."""
    old_bars, new_bars = old.bars(), new.bars()
    before, after = _model_bytes(old_bars), _model_bytes(new_bars)
    applications = []
    for change in changes:
        name = change.name
        old_places, new_places = _places(old, name), _places(new, name)
        effect, reasons = change.effect, change.reasons
        if effect in _IN_PLACE and (moved := list(_moves(old_places, new_places, _num_parts(new, name)))):
            effect, reasons = Effect.MOVES, (*reasons, *moved)
        applications.append(
            ApplicationDiff(name, effect, reasons, old_places, new_places, before[name], after[name])
        )
    return PlanDiff(tuple(applications), tuple(_devices(old_bars, new_bars)), tuple(notes))


def _places(planned: ClusterPlan, name: str) -> tuple[Slot | None, ...]:
    found = (each for each in planned.everything if each.name == name)
    return next((tuple(planned.places(each)) for each in found), ())


def _num_parts(planned: ClusterPlan, name: str) -> int:
    return next((each.num_parts for each in planned.everything if each.name == name), 1)


def _moves(old: Sequence[Slot | None], new: Sequence[Slot | None], num_parts: int) -> Iterator[str]:
    for index, (before, after) in enumerate(zip(old, new, strict=False)):
        if before and after and before != after:
            yield f"replica {index // num_parts} makes room on {before}"


def _model_bytes(nodes: Sequence[NodeBars]) -> Counter[str]:
    """On all devices and in all memory."""
    total: Counter[str] = Counter()
    for each in nodes:
        for bar in each.bars:
            for segment in bar.segments:
                total[segment.model] += segment.bytes
    return total


def _devices(old: Sequence[NodeBars], new: Sequence[NodeBars]) -> Iterator[DeviceDiff]:
    """Both plans are for the same nodes, so that their bars are the same."""
    for before, after in zip(_bars(old), _bars(new), strict=True):
        if before.segments != after.segments:
            yield DeviceDiff(
                after.node, after.index, after.label, after.capacity_bytes, before.used_bytes, after.used_bytes
            )


def _bars(nodes: Sequence[NodeBars]) -> Iterator[Bar]:
    return (bar for each in nodes for bar in each.bars)
