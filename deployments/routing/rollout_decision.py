"""Whether a rollout goes on, goes back or waits. Pure: numbers and the clock come in, a decision goes out."""

from __future__ import annotations

from dataclasses import dataclass

from deployments.routing.rollout import UNDER_WAY, Rollout, RolloutAction, RolloutState
from deployments.routing.rollout_findings import Findings, Numbers, StepStats, find

LONGEST_DOWN_S = 30.0
"""So long the new version may be gone while the old one is up: a replica that ends has been replaced by then."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now, None: nothing; why; and the numbers that it rests on."""

    action: RolloutAction | None
    why: str
    numbers: Numbers


def evaluate(rollout: Rollout, stats: StepStats, now: float, *, old_is_up: bool) -> Decision:
    """A version that is surely worse goes back at once, out of a pause as well: what a pause stops is going on.
    So does one that is gone, of whose requests there are no numbers.

    Where there is nothing to go back to, a rollout pauses. Time alone never makes it go on.
    """
    if rollout.state not in UNDER_WAY:
        raise ValueError(f"the rollout of {rollout.route!r} is {rollout.state}: there is nothing to decide")
    findings = find(stats, rollout.plan)
    gone = _gone_too_long(rollout, now) if old_is_up else ()
    back = (*gone, *findings.broken) or _waited_too_long(rollout, findings, now)
    if back:
        return _go_back(rollout, Decision(RolloutAction.ROLL_BACK, "; ".join(back), findings.numbers), old_is_up)
    if rollout.state is RolloutState.PAUSED:
        return Decision(None, rollout.why, findings.numbers)
    waits = (*_gone(rollout, now), *_holding(rollout, now), *findings.unmet)
    if waits:
        return Decision(None, "; ".join(waits), findings.numbers)
    action = RolloutAction.FINISH if rollout.is_last_step else RolloutAction.ADVANCE
    return Decision(action, f"held for {rollout.held_for(now):.0f} s", findings.numbers)


def _go_back(rollout: Rollout, decision: Decision, old_is_up: bool) -> Decision:
    if old_is_up:
        return decision
    why = f"{decision.why}; it would go back, but {rollout.old} is not up"
    action = RolloutAction.PAUSE if rollout.state is RolloutState.RUNNING else None
    return Decision(action, why, decision.numbers)


def _holding(rollout: Rollout, now: float) -> tuple[str, ...]:
    left_s = rollout.plan.hold_s - rollout.held_for(now)
    return (f"holding for {left_s:.0f} s more",) if left_s > 0 else ()


def _gone(rollout: Rollout, now: float) -> tuple[str, ...]:
    if rollout.down_since is None:
        return ()
    return (f"{rollout.new} has not been up for {now - rollout.down_since:.0f} s",)


def _gone_too_long(rollout: Rollout, now: float) -> tuple[str, ...]:
    since = rollout.down_since
    return _gone(rollout, now) if since is not None and now - since >= LONGEST_DOWN_S else ()


def _waited_too_long(rollout: Rollout, findings: Findings, now: float) -> tuple[str, ...]:
    """Never while paused: a person who has stopped the clock is there to decide."""
    longest_s = rollout.plan.max_wait_s
    if longest_s is None or rollout.state is RolloutState.PAUSED or rollout.held_for(now) < longest_s:
        return ()
    return (f"waited for {longest_s:g} s", *findings.unmet) if findings.unmet else ()
