from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from deployments.routing.rollout import (
    Rollout,
    RolloutAction,
    RolloutPlan,
    RolloutState,
    active_weights,
    change,
    overrides,
)
from models.errors import InvalidRequestError
from tests.unit.deployments.routing.rollouts import NEW, NOW, OLD, rollout

ADVANCE, FINISH, PAUSE, RESUME = (
    RolloutAction.ADVANCE,
    RolloutAction.FINISH,
    RolloutAction.PAUSE,
    RolloutAction.RESUME,
)


def after(*actions: RolloutAction) -> Rollout:
    """A rollout to which these were done, one each second."""
    current = rollout()
    for second, action in enumerate(actions, 1):
        current = change(current, action, NOW + second, "")
    return current


def test_each_step_has_its_share() -> None:
    assert [after(*[ADVANCE] * steps).weights for steps in range(3)] == [
        {OLD: 95, NEW: 5},
        {OLD: 50, NEW: 50},
        {OLD: 0, NEW: 100},
    ]


@pytest.mark.parametrize(
    ("actions", "state", "weights"),
    [
        ([ADVANCE, ADVANCE, FINISH], RolloutState.DONE, {NEW: 100}),
        ([ADVANCE, ADVANCE, FINISH, RolloutAction.ROLL_BACK], RolloutState.ROLLED_BACK, {OLD: 100}),
        ([ADVANCE, RolloutAction.ROLL_BACK], RolloutState.ROLLED_BACK, {OLD: 100}),
        ([PAUSE, RolloutAction.ABORT], RolloutState.ABORTED, {OLD: 100}),
        ([ADVANCE, PAUSE], RolloutState.PAUSED, {OLD: 50, NEW: 50}),
    ],
)
def test_where_requests_go_in_each_state(
    actions: list[RolloutAction], state: RolloutState, weights: dict[object, float]
) -> None:
    changed = after(*actions)
    assert (changed.state, changed.weights) == (state, weights)


@pytest.mark.parametrize(
    ("done", "action"),
    [
        ([], RESUME),
        ([], RolloutAction.CLEAR),
        ([], RolloutAction.START),
        ([PAUSE], PAUSE),
        ([PAUSE], ADVANCE),
        ([PAUSE], FINISH),
        ([ADVANCE, ADVANCE, FINISH], RolloutAction.ABORT),
        ([RolloutAction.ABORT], RolloutAction.ROLL_BACK),
        ([RolloutAction.ROLL_BACK], ADVANCE),
    ],
)
def test_what_a_state_does_not_allow(done: list[RolloutAction], action: RolloutAction) -> None:
    with pytest.raises(InvalidRequestError, match=rf"{action} does not apply .* \(what does: \w"):
        change(after(*done), action, NOW, "")


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=10))
def test_pauses_keep_the_time_that_a_step_was_held(waits: list[float]) -> None:
    """It runs and is paused in turn, for these times."""
    current, now = rollout(), NOW
    held = 0.0
    for number, wait in enumerate(waits):
        running = number % 2 == 0
        assert current.held_for(now) == pytest.approx(held, abs=1e-3)
        held += wait if running else 0
        now += wait
        assert current.held_for(now) == pytest.approx(held, abs=1e-3)
        current = change(current, PAUSE if running else RESUME, now, "")
    assert current.entered_at == NOW


def test_a_new_step_is_held_anew() -> None:
    changed = change(after(PAUSE, RESUME), ADVANCE, NOW + 60, "it held")
    assert (changed.step, changed.entered_at, changed.held_for(NOW + 70)) == (1, NOW + 60, 10)
    assert changed.why == "it held"


def test_the_clock_stops_at_the_end() -> None:
    assert after(ADVANCE, ADVANCE, FINISH).held_for(NOW + 1e6) == 1


def test_a_clock_of_another_machine_that_is_behind_takes_nothing_away() -> None:
    assert rollout().held_for(NOW - 5) == 0


@given(st.lists(st.sampled_from(RolloutAction), max_size=20))
def test_every_change_is_a_revision_and_steps_are_never_skipped(actions: list[RolloutAction]) -> None:
    seen = [rollout()]
    for action in actions:
        if action is ADVANCE and seen[-1].is_last_step:
            continue  # the evaluation finishes it then
        try:
            seen.append(change(seen[-1], action, NOW, ""))
        except InvalidRequestError:
            continue
    for before, changed in pairwise(seen):
        assert changed.revision == before.revision + 1
        assert 0 <= changed.step - before.step <= 1
        assert sum(changed.weights.values()) == 100
    assert seen[-1].in_force or seen[-1].state not in (RolloutState.RUNNING, RolloutState.PAUSED)


def test_what_is_in_force_decides() -> None:
    cleared = after(RolloutAction.ABORT, RolloutAction.CLEAR)
    assert active_weights([cleared]) == {}
    assert overrides([cleared]) == {}
    assert active_weights([after(ADVANCE)]) == {"smol": {OLD: 50, NEW: 50}}
    assert overrides([after(ADVANCE)]) == {}
    assert overrides([after(ADVANCE, ADVANCE, FINISH)]) == {"smol": NEW}
    assert overrides([after(RolloutAction.ABORT)]) == {"smol": OLD}


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"steps": (5, 1, 100)}, "steps must increase, not 5,1,100"),
        ({"steps": (5, 5, 100)}, "steps must increase"),
        ({"steps": (5, 50)}, "steps must end at 100"),
        ({"steps": (100,)}, "with one before it in which versions are compared"),
        ({"steps": (0, 100)}, "greater than 0"),
        ({"steps": (5, 101)}, "less than or equal to 100"),
        ({"hold_s": 300, "max_wait_s": 60}, "max_wait_s 60 is less than hold_s 300"),
        ({"max_latency_ratio": 0.9}, "greater than or equal to 1"),
        ({"max_error_rate": 0}, "greater than 0"),
    ],
)
def test_what_is_no_plan(fields: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        RolloutPlan.model_validate(fields)
