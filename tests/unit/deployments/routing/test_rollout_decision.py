from __future__ import annotations

from dataclasses import replace

import pytest

from deployments.routing.rollout import Rollout, RolloutAction, change
from deployments.routing.rollout_decision import Decision, evaluate
from deployments.routing.rollout_findings import StepStats, VersionStats
from tests.unit.deployments.routing.rollouts import NOW, PLAN, rollout, stats

GOOD = StepStats(old=stats(400, 1, [10.0] * 400), new=stats(100, 0, [10.0] * 100))
BAD = StepStats(old=stats(400, 1), new=stats(100, 90))


def decide(
    numbers: StepStats, held_s: float, current: Rollout | None = None, *, old_is_up: bool = True
) -> Decision:
    return evaluate(current or rollout(), numbers, NOW + held_s, old_is_up=old_is_up)


def last() -> Rollout:
    advanced = change(rollout(), RolloutAction.ADVANCE, NOW, "")
    return change(advanced, RolloutAction.ADVANCE, NOW, "")


def test_a_step_that_held_goes_on_and_the_last_one_is_the_end() -> None:
    assert decide(GOOD, 59).action is None
    assert decide(GOOD, 60).action is RolloutAction.ADVANCE
    assert decide(GOOD, 60, last()).action is RolloutAction.FINISH


def test_a_version_that_is_worse_goes_back_at_once_and_says_why() -> None:
    decision = decide(BAD, 0.5)
    assert decision.action is RolloutAction.ROLL_BACK
    assert decision.why.startswith("error rate 90% (90 of 100 requests), surely above 1%; ")
    assert decision.why.endswith("surely above that of the old version: error rate 0.25% (1 of 400 requests)")
    assert (decision.numbers.new_requests, decision.numbers.new_errors) == (100, 90)


@pytest.mark.parametrize("held_s", [60, 1e9])
def test_time_alone_never_makes_it_go_on(held_s: float) -> None:
    waiting = decide(StepStats(old=stats(1000), new=stats(13)), held_s)
    assert (waiting.action, waiting.why) == (None, "waiting for 7 more requests to the new version")
    waiting = decide(StepStats(old=stats(0), new=stats(1000)), held_s)
    assert (waiting.action, waiting.why) == (None, "waiting for 20 more requests to the old version")


def test_what_may_be_chance_waits_for_more_requests() -> None:
    errors = decide(StepStats(old=stats(400, 1), new=stats(40, 1)), 60)
    assert (errors.action, errors.why) == (
        None,
        "error rate 2.5% (1 of 40 requests), above 1%, which may be chance",
    )
    slow = StepStats(old=stats(30, 0, [10.0] * 30), new=stats(30, 0, [10.0] * 14 + [20.0] * 16))
    decision = decide(slow, 60)
    assert decision.action is None
    reasons = [
        f"latency total_{quantile} 2.00 times that of the old version, above 1.3 times, which may be chance"
        for quantile in ("p50", "p90")
    ]
    assert decision.why.split("; ") == reasons


def test_until_it_is_held_everything_that_it_waits_for_is_told() -> None:
    why = decide(StepStats(old=stats(1000), new=stats(13)), 20).why
    assert why == "holding for 40 s more; waiting for 7 more requests to the new version"


def test_a_pause_stops_going_on_and_not_going_back() -> None:
    paused = change(rollout(), RolloutAction.PAUSE, NOW, "pause by ann")
    assert decide(GOOD, 1e6, paused) == Decision(None, "pause by ann", decide(GOOD, 0).numbers)
    assert decide(BAD, 1e6, paused).action is RolloutAction.ROLL_BACK


def test_without_an_old_version_to_go_back_to_it_pauses_once() -> None:
    stuck = decide(BAD, 1, old_is_up=False)
    assert stuck.action is RolloutAction.PAUSE
    assert stuck.why.endswith("; it would go back, but smol@1 is not up")
    paused = change(rollout(), RolloutAction.PAUSE, NOW + 1, stuck.why)
    assert decide(BAD, 2, paused, old_is_up=False).action is None
    assert decide(BAD, 3, paused).action is RolloutAction.ROLL_BACK


def test_a_new_version_that_is_gone_goes_back_in_any_state() -> None:
    gone = replace(rollout(), down_since=NOW)
    assert (decide(GOOD, 29, gone).action, decide(GOOD, 30, gone).action) == (None, RolloutAction.ROLL_BACK)
    assert decide(GOOD, 31, gone).why == "smol@2 has not been up for 31 s"
    paused = change(gone, RolloutAction.PAUSE, NOW, "")
    assert decide(StepStats(), 30, paused).action is RolloutAction.ROLL_BACK
    assert decide(GOOD, 1e6, gone, old_is_up=False).action is None


def test_while_the_new_version_is_gone_it_does_not_go_on() -> None:
    decision = decide(GOOD, 60, replace(rollout(), down_since=NOW + 50))
    assert (decision.action, decision.why) == (None, "smol@2 has not been up for 10 s")


def test_a_step_that_waits_too_long_goes_back_if_it_may_not_go_on() -> None:
    impatient = rollout(PLAN.model_copy(update={"max_wait_s": 90.0}))
    few = StepStats(old=stats(1000), new=VersionStats())
    assert decide(few, 89, impatient).action is None
    decision = decide(few, 90, impatient)
    assert decision.action is RolloutAction.ROLL_BACK
    assert decision.why == "waited for 90 s; waiting for 20 more requests to the new version"
    assert decide(GOOD, 90, impatient).action is RolloutAction.ADVANCE
    assert decide(few, 1e6, change(impatient, RolloutAction.PAUSE, NOW + 1e5, "")).action is None


def test_of_what_is_over_there_is_nothing_to_decide() -> None:
    with pytest.raises(ValueError, match="is aborted: there is nothing to decide"):
        decide(GOOD, 0, change(rollout(), RolloutAction.ABORT, NOW, ""))
