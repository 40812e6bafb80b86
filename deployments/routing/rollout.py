"""A rollout: one version takes over from another in steps. What may follow on what; pure, the clock is passed in.

When it goes on and when it goes back is decided in rollout_decision.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from deployments.routing.table import Weights
from models.errors import InvalidRequestError
from models.manifest import Frozen
from models.types import VersionId

WHOLE_PERCENT = 100.0

Percent = Annotated[float, Field(gt=0, le=WHOLE_PERCENT)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class RolloutPlan(Frozen):
    """How a rollout goes: the share of the new version in each step, and what it has to hold for ``hold_s``.

    ``max_error_rate`` is of the new version; ``max_latency_ratio`` is its latencies over the old one's. A step
    goes on only after ``min_requests`` to each version that it compares; one that has not gone on after
    ``max_wait_s`` goes back, None: it waits for as long as that takes.
    """

    steps: tuple[Percent, ...] = (1, 5, 25, 50, 100)
    hold_s: Seconds = 300
    max_error_rate: float = Field(default=0.01, gt=0, lt=1)
    max_latency_ratio: float = Field(default=1.3, ge=1, allow_inf_nan=False)
    min_requests: int = Field(default=100, ge=1)
    max_wait_s: Seconds | None = None

    @model_validator(mode="after")
    def _check_steps(self) -> Self:
        written = ",".join(f"{step:g}" for step in self.steps)
        if list(self.steps) != sorted(set(self.steps)):
            raise ValueError(f"steps must increase, not {written}")
        if len(self.steps) < 2 or self.steps[-1] != WHOLE_PERCENT:
            raise ValueError(
                f"steps must end at 100, with one before it in which versions are compared: {written}"
            )
        return self

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        if self.max_wait_s is not None and self.max_wait_s < self.hold_s:
            raise ValueError(f"max_wait_s {self.max_wait_s:g} is less than hold_s {self.hold_s:g}")
        return self


class RolloutState(StrEnum):
    """Where a rollout is: under way in the first two, at its end in the others."""

    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"


UNDER_WAY = frozenset({RolloutState.RUNNING, RolloutState.PAUSED})
_ENDED = frozenset(RolloutState) - UNDER_WAY


class RolloutAction(StrEnum):
    """What people or the evaluation do to a rollout."""

    START = "start"
    ADVANCE = "advance"
    FINISH = "finish"
    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"
    ROLL_BACK = "rollback"
    CLEAR = "clear"


_ALLOWED: Mapping[RolloutAction, frozenset[RolloutState]] = {
    RolloutAction.START: frozenset(),
    RolloutAction.ADVANCE: frozenset({RolloutState.RUNNING}),
    RolloutAction.FINISH: frozenset({RolloutState.RUNNING}),
    RolloutAction.PAUSE: frozenset({RolloutState.RUNNING}),
    RolloutAction.RESUME: frozenset({RolloutState.PAUSED}),
    RolloutAction.ABORT: UNDER_WAY,
    RolloutAction.ROLL_BACK: UNDER_WAY | {RolloutState.DONE},
    RolloutAction.CLEAR: _ENDED,
}
_ENDS = {
    RolloutAction.FINISH: RolloutState.DONE,
    RolloutAction.ABORT: RolloutState.ABORTED,
    RolloutAction.ROLL_BACK: RolloutState.ROLLED_BACK,
}


@dataclass(frozen=True, slots=True)
class Rollout:
    """From ``old`` to ``new``, of the requests to the public name ``route``. Times are seconds since the epoch.

    ``step`` counts from 0 and began at ``entered_at``. It has been held for ``held_s`` and, unless that is None,
    since ``held_since``. ``in_force``: it decides where requests go; after its end as well, until it is cleared
    or another one of the route starts. Each change counts ``revision`` up. ``down_since``: since when the new
    version has not been up, None while it is.
    """

    id: int
    route: str
    old: VersionId
    new: VersionId
    plan: RolloutPlan
    state: RolloutState
    step: int
    started_at: float
    entered_at: float
    held_s: float
    held_since: float | None
    in_force: bool
    revision: int
    why: str
    down_since: float | None = None

    @property
    def percent(self) -> float:
        """The share of the requests that the new version gets while the rollout is under way."""
        return self.plan.steps[self.step]

    @property
    def is_last_step(self) -> bool:
        return self.step == len(self.plan.steps) - 1

    @property
    def weights(self) -> Weights:
        """What each version gets of the requests that no header sends elsewhere.

        While the rollout is under way it has both: the old one, even with 0, is what it goes back to.
        """
        if self.state in UNDER_WAY:
            return {self.old: WHOLE_PERCENT - self.percent, self.new: self.percent}
        return {self.new if self.state is RolloutState.DONE else self.old: WHOLE_PERCENT}

    def held_for(self, now: float) -> float:
        """Seconds for which the step has been held, pauses left out."""
        return self.held_s + (0.0 if self.held_since is None else max(0.0, now - self.held_since))


def begin(route: str, old: VersionId, new: VersionId, plan: RolloutPlan, now: float) -> Rollout:
    """A rollout in its first step, without an id yet."""
    return Rollout(
        id=0,
        route=route,
        old=old,
        new=new,
        plan=plan,
        state=RolloutState.RUNNING,
        step=0,
        started_at=now,
        entered_at=now,
        held_s=0.0,
        held_since=now,
        in_force=True,
        revision=0,
        why="started",
    )


def change(rollout: Rollout, action: RolloutAction, now: float, why: str) -> Rollout:
    """The rollout after ``action``. InvalidRequestError when its state does not allow that."""
    if rollout.state not in _ALLOWED[action]:
        allowed = ", ".join(each for each in RolloutAction if rollout.state in _ALLOWED[each])
        raise InvalidRequestError(
            f"{action} does not apply to the rollout of {rollout.route!r}, which is {rollout.state}",
            remedy=f"what does: {allowed}",
        )
    changed = replace(
        rollout, held_s=rollout.held_for(now), held_since=None, revision=rollout.revision + 1, why=why
    )
    match action:
        case RolloutAction.ADVANCE:
            return replace(changed, step=rollout.step + 1, entered_at=now, held_s=0.0, held_since=now)
        case RolloutAction.PAUSE:
            return replace(changed, state=RolloutState.PAUSED)
        case RolloutAction.RESUME:
            return replace(changed, state=RolloutState.RUNNING, held_since=now)
        case RolloutAction.CLEAR:
            return replace(changed, in_force=False)
        case _:
            return replace(changed, state=_ENDS[action])


def watch(rollout: Rollout, now: float, *, old_is_up: bool, new_is_up: bool) -> Rollout:
    """The rollout with ``down_since`` as this look has it.

    Where neither version is up, it may be that nothing is known yet: then nothing is learnt.
    """
    if new_is_up:
        return replace(rollout, down_since=None)
    if old_is_up and rollout.down_since is None:
        return replace(rollout, down_since=now)
    return rollout


def active_weights(rollouts: Iterable[Rollout]) -> dict[str, Weights]:
    """By the public name, the weights that take the place of the configuration's."""
    return {rollout.route: rollout.weights for rollout in rollouts if rollout.in_force}


def overrides(rollouts: Iterable[Rollout]) -> dict[str, VersionId]:
    """The version that each rollout which is over still pins, whatever the configuration says, by public name."""
    over = (rollout for rollout in rollouts if rollout.in_force and rollout.state in _ENDED)
    return {rollout.route: next(iter(rollout.weights)) for rollout in over}
