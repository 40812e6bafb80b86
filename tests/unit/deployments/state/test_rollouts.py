"""Rollouts on a real SQLite file: what people do, what happens by itself, and that it happens once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from deployments.audit.record import Attempt, Outcome, RequestRecord
from deployments.routing.rollout import RolloutAction, RolloutPlan, RolloutState, active_weights, begin
from deployments.routing.rollout_findings import Numbers
from deployments.state.admin_events import claim_unexported
from deployments.state.database import Database
from deployments.state.revisions import read_revisions
from deployments.state.rollout_counts import collect
from deployments.state.rollout_rows import Cause, save, take_turn
from deployments.state.rollouts import Rollouts
from deployments.state.schema import ROLLOUT_COUNTS
from models.errors import InvalidRequestError
from models.types import VersionId
from tests.unit.deployments.state.journals import NOW, request

OLD, NEW = VersionId("smol", "1"), VersionId("smol", "2")
PLAN = RolloutPlan(steps=(5, 100), hold_s=60, min_requests=10)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOW - 1

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rollouts(database: Database, clock: Clock) -> Rollouts:
    return Rollouts(database, clock)


@pytest.fixture
def started(rollouts: Rollouts) -> Rollouts:
    rollouts.start("smol", OLD, NEW, PLAN, "cli:ann")
    return rollouts


def up(_: VersionId) -> bool:
    return True


def answered(time: float, version: str, outcome: str = "ok") -> RequestRecord:
    attempts = (Attempt(f"smol@{version}", outcome, 1.0, "smol"),)
    ended = Outcome.OK if outcome == "ok" else Outcome.FAILED
    return request(version=version, time=datetime.fromtimestamp(time, UTC), attempts=attempts, outcome=ended)


def serve(database: Database, time: float, number: int, *records: tuple[str, str]) -> None:
    """So many requests came to each of these versions, and ended so."""
    found = [answered(time, version, outcome) for version, outcome in records for _ in range(number)]
    with database.transaction() as connection:
        collect(connection, found)


def actions(rollouts: Rollouts) -> list[str]:
    return [event.action for _, events in rollouts.history("smol") for event in events]


def test_a_rollout_is_as_it_was_started(started: Rollouts) -> None:
    expected = replace(begin("smol", OLD, NEW, PLAN, NOW - 1), id=1)
    assert [rollout for rollout, _ in started.current()] == [expected]
    assert active_weights(started.tick(up)) == {"smol": {OLD: 95, NEW: 5}}


def test_nothing_in_force_says_nothing(rollouts: Rollouts) -> None:
    assert (rollouts.tick(up), rollouts.current(), rollouts.history("smol")) == ((), (), [])
    assert rollouts.in_force() == ()


def test_a_good_version_takes_over_by_itself(database: Database, started: Rollouts, clock: Clock) -> None:
    serve(database, NOW, 20, ("1", "ok"), ("2", "ok"))
    clock.now += 59
    assert active_weights(started.tick(up)) == {"smol": {OLD: 95, NEW: 5}}
    clock.now += 1
    assert active_weights(started.tick(up)) == {"smol": {OLD: 0, NEW: 100}}
    clock.now += 1000
    assert active_weights(started.tick(up)) == {"smol": {OLD: 0, NEW: 100}}
    assert started.find("smol").state is RolloutState.RUNNING  # no requests in this step yet
    serve(database, NOW + 70, 10, ("2", "ok"))
    assert active_weights(started.tick(up)) == {"smol": {NEW: 100}}
    assert started.find("smol").state is RolloutState.DONE
    assert actions(started) == ["start", "advance", "finish"]


def test_a_bad_version_goes_back_and_the_history_has_the_numbers(database: Database, started: Rollouts) -> None:
    serve(database, NOW, 200, ("1", "ok"))
    serve(database, NOW, 10, ("2", "engine"))
    assert active_weights(started.tick(up)) == {"smol": {OLD: 100}}
    ((rollout, (_, event)),) = started.history("smol")
    assert (rollout.state, rollout.in_force) == (RolloutState.ROLLED_BACK, True)
    assert (event.actor, event.action, event.from_step, event.to_step) == ("router", "rollback", 0, 0)
    assert event.numbers == Numbers(200, 0, 10, 10, {})
    assert event.why.startswith("error rate 100% (10 of 10 requests), surely above 1%")


def test_it_stays_where_it_is_without_an_old_version(database: Database, started: Rollouts) -> None:
    serve(database, NOW, 20, ("2", "engine"))
    assert active_weights(started.tick(lambda version: version == NEW)) == {"smol": {OLD: 95, NEW: 5}}
    assert started.find("smol").state is RolloutState.PAUSED
    assert active_weights(started.tick(lambda version: version == NEW)) == {"smol": {OLD: 95, NEW: 5}}
    assert actions(started) == ["start", "pause"]
    assert active_weights(started.tick(up)) == {"smol": {OLD: 100}}


def only_old(version: VersionId) -> bool:
    return version == OLD


def none(_: VersionId) -> bool:
    """As a router sees it that knows nothing yet."""
    return False


def test_a_new_version_that_is_gone_goes_back_without_a_request(
    database: Database, started: Rollouts, clock: Clock
) -> None:
    serve(database, NOW, 20, ("1", "ok"), ("2", "ok"))
    clock.now += 60
    started.tick(up)
    assert started.find("smol").is_last_step
    started.tick(only_old)
    clock.now += 20
    restarted = Rollouts(database, clock)
    restarted.tick(none)
    assert restarted.find("smol").state is RolloutState.RUNNING
    clock.now += 10
    restarted.tick(none)
    assert restarted.find("smol").state is RolloutState.RUNNING
    assert active_weights(restarted.tick(only_old)) == {"smol": {OLD: 100}}
    ((_, events),) = restarted.history("smol")
    assert (events[-1].action, events[-1].why) == (RolloutAction.ROLL_BACK, "smol@2 has not been up for 30 s")


def test_a_new_version_that_comes_back_in_time_stays(started: Rollouts, clock: Clock) -> None:
    for _ in range(3):
        started.tick(only_old)
        clock.now += 20
        started.tick(up)
    assert (started.find("smol").down_since, actions(started)) == (None, ["start"])


def test_what_people_do_is_noted_with_the_change(database: Database, started: Rollouts, clock: Clock) -> None:
    clock.now += 10
    started.act("smol", RolloutAction.PAUSE, "cli:ann")
    clock.now += 500
    started.act("smol", RolloutAction.RESUME, "cli:bob")
    clock.now += 20
    assert started.find("smol").held_for(clock.now) == 30
    started.act("smol", RolloutAction.ABORT, "cli:bob")
    assert active_weights(started.tick(up)) == {"smol": {OLD: 100}}
    with database.transaction() as connection:
        events = claim_unexported(connection, 10, NOW)
    assert [(event.actor, event.action, event.subject) for event in events] == [
        ("cli:ann", "rollout.start", "smol"),
        ("cli:ann", "rollout.pause", "smol"),
        ("cli:bob", "rollout.resume", "smol"),
        ("cli:bob", "rollout.abort", "smol"),
    ]
    assert events[0].details == {
        "old": "smol@1",
        "new": "smol@2",
        "percent": 5.0,
        "state": "running",
        "why": "started",
    }


def test_routers_hear_of_every_change(database: Database, started: Rollouts) -> None:
    def revision() -> int:
        with database.read() as connection:
            return read_revisions(connection)["rollouts"]

    before = revision()
    started.tick(up)
    assert revision() == before
    started.act("smol", RolloutAction.PAUSE, "cli:ann")
    assert revision() == before + 1


def test_a_second_rollout_waits_for_the_end_of_the_first(started: Rollouts) -> None:
    started.start("other", VersionId("other", "1"), VersionId("other", "2"), PLAN, "cli:ann")
    with pytest.raises(
        InvalidRequestError, match=r"from smol@1 to smol@2 is running already .*rollout abort smol"
    ):
        started.start("smol", OLD, VersionId("smol", "3"), PLAN, "cli:ann")
    started.act("smol", RolloutAction.ABORT, "cli:ann")
    started.start("smol", OLD, VersionId("smol", "3"), PLAN, "cli:ann")
    assert [rollout.route for rollout, _ in started.current()] == ["other", "smol"]
    assert [rollout.new.version for rollout, _ in started.history("smol")] == ["2", "3"]


def test_what_is_cleared_leaves_its_history(database: Database, started: Rollouts) -> None:
    serve(database, NOW, 1, ("2", "ok"))
    with pytest.raises(InvalidRequestError, match="clear does not apply"):
        started.act("smol", RolloutAction.CLEAR, "cli:ann")
    started.act("smol", RolloutAction.ABORT, "cli:ann")
    assert not started.act("smol", RolloutAction.CLEAR, "cli:ann").in_force
    assert active_weights(started.tick(up)) == {}
    assert actions(started) == ["start", "abort", "clear"]
    with pytest.raises(InvalidRequestError, match="no rollout of 'smol' is in force"):
        started.act("smol", RolloutAction.ROLL_BACK, "cli:ann")
    with database.read() as connection:
        assert connection.execute(select(func.count()).select_from(ROLLOUT_COUNTS)).scalar_one() == 0


def test_many_replicas_take_one_step(database: Database, started: Rollouts, clock: Clock) -> None:
    serve(database, NOW, 20, ("1", "ok"), ("2", "ok"))
    clock.now += 60
    with ThreadPoolExecutor(8) as threads:
        ticks = [threads.submit(Rollouts(database, clock).tick, up) for _ in range(24)]
        weights = [active_weights(each.result()) for each in ticks]
    assert weights.count({"smol": {OLD: 0, NEW: 100}}) == 24
    assert actions(started) == ["start", "advance"]


def test_what_was_decided_on_an_older_revision_is_dropped(database: Database, started: Rollouts) -> None:
    before = started.find("smol")
    paused = started.act("smol", RolloutAction.PAUSE, "cli:ann")
    with database.transaction() as connection:
        take_turn(connection)
        save(connection, before, replace(before, step=1, revision=1), Cause("router", RolloutAction.ADVANCE, NOW))
    assert started.find("smol") == paused
    assert actions(started) == ["start", "pause"]


@settings(max_examples=25)
@given(st.data())
def test_people_and_replicas_never_skip_a_step_or_repeat_a_change(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Any order of what people do, requests that come, time that passes, and looks of three replicas."""
    clock = Clock()
    with Database.open(f"sqlite:///{tmp_path_factory.mktemp('state')}/state.db") as database:
        replicas = [Rollouts(database, clock) for _ in range(3)]
        replicas[0].start("smol", OLD, NEW, RolloutPlan(steps=(5, 50, 100), hold_s=10, min_requests=5), "ann")
        for _ in range(data.draw(st.integers(5, 15))):
            _do_something(database, replicas, clock, data)
        ((rollout, events),) = replicas[0].history("smol")
    assert rollout.revision == len(events) - 1
    assert [event.from_step for event in events[1:]] == [event.to_step for event in events[:-1]]
    assert all(0 <= event.to_step - event.from_step <= 1 for event in events)
    assert rollout.step == sum(event.action is RolloutAction.ADVANCE for event in events)


def _do_something(database: Database, replicas: list[Rollouts], clock: Clock, data: st.DataObject) -> None:
    match data.draw(st.sampled_from(["time", "requests", "tick", "person"])):
        case "time":
            clock.now += data.draw(st.sampled_from([0.5, 10]))
        case "requests":
            outcome = data.draw(st.sampled_from(["ok", "ok", "engine"]))
            serve(database, clock.now, 5, ("1", "ok"), ("2", outcome))
        case "tick":
            for replica in replicas:
                replica.tick(up)
        case _:
            action = data.draw(st.sampled_from([RolloutAction.PAUSE, RolloutAction.RESUME, RolloutAction.ABORT]))
            with suppress(InvalidRequestError):  # what the state does not allow
                replicas[0].act("smol", action, "ann")
