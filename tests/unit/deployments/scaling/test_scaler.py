"""One version over time, as Serve's controller sees it."""

from __future__ import annotations

import json

import pytest

from deployments.scaling.decision import Cause
from deployments.scaling.history import MAX_CHANGES, Kept, dump_changes, dump_latest
from deployments.scaling.load import RouterLoad
from deployments.scaling.policy_arguments import PolicyArguments
from deployments.scaling.scaler import Scaler, Seen
from deployments.scaling.schedule import Window
from deployments.scaling.settings import Kind, ScalingSettings

SETTINGS = ScalingSettings(Kind.GENERATION, 0, 4, max_num_seqs=4, idle_s=60, down_window_s=10)
ARGUMENTS = PolicyArguments(SETTINGS, cold_start_guess_s=20)
QUIET = RouterLoad(age_s=0)
BUSY = RouterLoad(age_s=0, num_waiting=12, num_waking=12, arrivals_per_s=1)


def seen(target: int, num_ready: int | None = None, most: int = 4, num_requests: float = 0) -> Seen:
    return Seen(target, target if num_ready is None else num_ready, 0, most, num_requests=num_requests)


def again(scaler: Scaler) -> Scaler:
    """As the next controller has it, by way of the store."""
    latest = scaler.latest(0)
    return Scaler(ARGUMENTS, Kept.load(dump_latest(latest), dump_changes(latest.kept)))


def test_a_change_is_told_once_with_what_it_goes_by() -> None:
    scaler = Scaler(ARGUMENTS, None)
    decision, (change,) = scaler.decide(seen(0), BUSY, 100)
    assert decision.target > 1
    assert (change.before, change.after, change.cause) == (0, decision.target, str(decision.cause))
    assert change.inputs["routers"]["num_waiting"] == 12
    assert scaler.decide(seen(0), BUSY, 101)[1] == []  # Serve has not done it yet
    assert scaler.decide(seen(decision.target, 0), BUSY, 102)[1] == []


def test_what_serve_does_by_itself_is_told_too() -> None:
    scaler = Scaler(ARGUMENTS, None)
    scaler.decide(seen(0), QUIET, 100)
    _, changes = scaler.decide(seen(1, 0, num_requests=1), RouterLoad(), 101)
    assert [(change.before, change.after, change.cause) for change in changes] == [(0, 1, "serve")]


def test_serve_goes_to_none_by_way_of_one() -> None:
    scaler = Scaler(ARGUMENTS, None)
    scaler.decide(seen(3), QUIET, 100)
    decision, changes = scaler.decide(seen(3), QUIET, 170)
    assert (decision.target, decision.cause, len(changes)) == (0, Cause.IDLE, 1)
    assert scaler.decide(seen(1), QUIET, 171)[1] == []
    assert scaler.decide(seen(0), QUIET, 172)[1] == []


@pytest.mark.parametrize("load", [BUSY, RouterLoad(age_s=0, num_under_way=1)], ids=["waits", "is under way"])
def test_it_is_idle_from_the_last_work_on(load: RouterLoad) -> None:
    scaler = Scaler(ARGUMENTS, None)
    scaler.decide(seen(1), load, 1000)
    assert scaler.decide(seen(1), QUIET, 1059)[0].target == 1
    assert scaler.decide(seen(1), QUIET, 1060)[0].target == 0


def test_calls_that_no_router_knows_of_keep_it_awake() -> None:
    scaler = Scaler(ARGUMENTS, None)
    for now in range(0, 300, 50):
        decision, _ = scaler.decide(seen(1, num_requests=0.2), QUIET, 1000 + now)
    assert decision.target == 1


def test_another_controller_goes_on_where_this_one_ended() -> None:
    scaler = Scaler(ARGUMENTS, None)
    target = scaler.decide(seen(0), BUSY, 1000)[0].target
    scaler.decide(seen(target, 0), BUSY, 1000)
    scaler.decide(seen(target), BUSY, 1007)
    after = again(scaler)
    assert after.kept == scaler.kept
    assert after.latest(0).cold_start_s == 7
    decision, changes = after.decide(seen(target, 0), RouterLoad(), 1010)  # nobody has told it anything yet
    assert (decision.target, decision.cause, changes) == (target, Cause.UNKNOWN, [])
    decision, _ = after.decide(seen(target), QUIET, 1012)
    assert decision.target == target > 1  # it remembers that so many were wanted 5 s ago
    assert after.decide(seen(target), QUIET, 1066)[0].target == 1
    assert after.decide(seen(1), QUIET, 1067)[0].target == 0  # idle since 1007


def test_another_release_starts_anew() -> None:
    assert Kept.load(b'{"release": 2}', b'{"release": 2}') == Kept()
    assert Kept.load(None, None) == Kept()


def test_only_the_last_changes_are_kept() -> None:
    scaler = Scaler(ARGUMENTS, None)
    for number in range(2 * MAX_CHANGES):
        scaler.decide(seen(1 + number % 2, num_requests=1), RouterLoad(), 1000.0 + number)
    assert len(scaler.kept.changes) == MAX_CHANGES
    assert scaler.kept.changes[-1]["at"] == 1000 + 2 * MAX_CHANGES - 1


def test_a_record_is_small() -> None:
    scaler = Scaler(ARGUMENTS, None)
    for number in range(2 * MAX_CHANGES):
        scaler.decide(seen(number % 2), BUSY if number % 2 else QUIET, 1000.0 + 100 * number)
    assert len(dump_latest(scaler.latest(0))) < 3_000
    assert len(dump_changes(scaler.kept)) < 60_000


def test_the_bounds_of_serve_hold() -> None:
    assert Scaler(ARGUMENTS, None).decide(seen(0, most=2), BUSY, 0)[0].target == 2


def test_arguments_travel_as_json() -> None:
    window = Window(2, "08:00", "18:00", ("mon", "fri"), "Europe/Berlin")
    arguments = PolicyArguments(
        ScalingSettings(Kind.BATCH, 1, 4, max_num_seqs=32, max_step=2, schedule=(window,)), 12.5
    )
    assert PolicyArguments.load(json.loads(json.dumps(arguments.dump()))) == arguments
