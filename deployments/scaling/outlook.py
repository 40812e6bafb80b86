"""What is going to become of the number of replicas, if the load stays as it is. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from deployments.scaling.decide import decide
from deployments.scaling.load import Load
from deployments.scaling.memory import Memory
from deployments.scaling.settings import ScalingSettings

# Every second at first, then more roughly: windows and idle times are a few minutes, schedules hours.
_FINE_S, _FINE_STEP_S = 120.0, 1.0
_FAR_S, _FAR_STEP_S = 3600.0, 10.0


@dataclass(frozen=True, slots=True)
class Outlook:
    """The next change: ``in_s`` seconds, to ``target`` replicas, and the words of that decision."""

    in_s: float
    target: int
    reason: str


def outlook(load: Load, settings: ScalingSettings, memory: Memory) -> Outlook | None:
    """The first other number that the policy itself decides on within an hour of the same load; None: none.

    ``load`` has the number that there is now, ``memory`` is that of its decision.
    """
    is_idle = not _has_work(load)
    for later_s in _steps():
        idle_s = load.idle_s + later_s if is_idle and load.idle_s is not None else load.idle_s
        decision, memory = decide(replace(load, now=load.now + later_s, idle_s=idle_s), settings, memory)
        if decision.target != load.target:
            return Outlook(later_s, decision.target, decision.reason)
    return None


def _steps() -> Iterator[float]:
    later_s = 0.0
    while later_s < _FAR_S:
        later_s += _FINE_STEP_S if later_s < _FINE_S else _FAR_STEP_S
        yield later_s


def _has_work(load: Load) -> bool:
    routers = load.routers.num_under_way + load.routers.num_waiting + load.routers.arrivals_per_s
    return routers + sum(replica.num_running + replica.num_waiting for replica in load.replicas) > 0
