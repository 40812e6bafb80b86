from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from deployments.audit.reader import Cursor, read_chunk
from deployments.audit.record import Attempt, Outcome, RequestRecord
from deployments.routing.rollout import RolloutAction, RolloutPlan, change
from deployments.routing.rollout_findings import Measure, StepStats
from deployments.routing.sequential_test import Trials
from deployments.state.database import Database
from deployments.state.projection import project
from deployments.state.rollout_counts import collect, read_stats
from deployments.state.rollout_rows import Cause, save
from deployments.state.rollouts import Rollouts
from models.errors import DeadlineExceededError, EngineError, ModelUnavailableError, error_code
from models.types import VersionId
from tests.unit.deployments.state.journals import NOW, open_journal, request

OLD, NEW = VersionId("smol", "1"), VersionId("smol", "2")


@pytest.fixture
def rollouts(database: Database) -> Rollouts:
    """With one that began just before the requests came."""
    found = Rollouts(database, lambda: NOW - 1)
    found.start("smol", OLD, NEW, RolloutPlan(steps=(5, 50, 100)), "cli:ann")
    return found


def attempt(target: str = "smol@2", outcome: str = "ok", rollout: str | None = "smol") -> Attempt:
    return Attempt(target, outcome, 5.0, rollout)


def answered(version: str, *failed: str, **fields: object) -> RequestRecord:
    """One that ``version`` answered, after these failed."""
    attempts = (*(attempt(target, "engine") for target in failed), attempt(f"smol@{version}"))
    return request(**{"version": version, "attempts": attempts, "total_ms": 10.0, **fields})  # type: ignore[arg-type]


def unanswered(ended: str, **fields: object) -> RequestRecord:
    attempts = (attempt(outcome=ended),)
    return request(**{"version": None, "model": None, "attempts": attempts, **fields})  # type: ignore[arg-type]


def counted(database: Database, rollouts: Rollouts, *records: RequestRecord) -> StepStats:
    with database.transaction() as connection:
        collect(connection, records)
        return read_stats(connection, rollouts.find("smol"))


def advance(database: Database, rollouts: Rollouts) -> None:
    before = rollouts.find("smol")
    after = change(before, RolloutAction.ADVANCE, NOW - 1, "it held")
    with database.transaction() as connection:
        save(connection, before, after, Cause("router", RolloutAction.ADVANCE, NOW - 1))


def test_each_version_has_its_requests_and_latencies(database: Database, rollouts: Rollouts) -> None:
    first = [answered("1") for _ in range(3)]
    counted(database, rollouts, *first)
    found = counted(database, rollouts, answered("1"), answered("2", total_ms=40.0, first_token_ms=8.0))
    assert (found.old.attempts, found.new.attempts) == (Trials(0, 4), Trials(0, 1))
    assert found.old.latencies[Measure.TOTAL].total == 4
    assert found.old.latencies[Measure.FIRST_TOKEN].total == 0
    assert found.new.latencies[Measure.TOTAL].quantile_ms(0.5) == pytest.approx(40, rel=0.05)
    assert found.new.latencies[Measure.FIRST_TOKEN].quantile_ms(0.5) == pytest.approx(8, rel=0.05)


def test_a_retry_that_helped_hides_no_failure(database: Database, rollouts: Rollouts) -> None:
    found = counted(database, rollouts, answered("1", "smol@2"))
    assert (found.old.attempts, found.new.attempts) == (Trials(0, 1), Trials(1, 1))
    assert [each.latencies[Measure.TOTAL].total for each in (found.old, found.new)] == [0, 0]


@pytest.mark.parametrize("error", [EngineError, ModelUnavailableError, DeadlineExceededError, KeyError])
def test_what_a_version_fails_at_counts_against_it(
    database: Database, rollouts: Rollouts, error: type[Exception]
) -> None:
    found = counted(database, rollouts, unanswered(error_code(error("no luck")), outcome=Outcome.FAILED))
    assert found.new.attempts == Trials(1, 1)


@pytest.mark.parametrize(
    "ended",
    [
        "cancelled",
        "invalid_request",
        "context_length",
        "unsupported_option",
        "wrong_task",
        "overloaded",
        "quota_exceeded",
    ],
)
def test_what_is_not_its_doing_does_not_count(database: Database, rollouts: Rollouts, ended: str) -> None:
    found = counted(database, rollouts, unanswered(ended, outcome=Outcome.REFUSED))
    assert found.new.attempts == Trials(0, 0)


def test_a_stream_that_breaks_off_is_a_failure_and_has_no_latency(database: Database, rollouts: Rollouts) -> None:
    found = counted(database, rollouts, answered("2", outcome=Outcome.FAILED))
    assert found.new.attempts == Trials(1, 1)
    assert found.new.latencies[Measure.TOTAL].total == 0


def test_of_several_prompts_only_the_one_that_failed_did(database: Database, rollouts: Rollouts) -> None:
    attempts = (*[attempt()] * 7, attempt(outcome="engine"))
    found = counted(database, rollouts, answered("2", attempts=attempts, outcome=Outcome.FAILED))
    assert found.new.attempts == Trials(1, 8)
    broke_off = answered("2", attempts=attempts[:7], outcome=Outcome.FAILED)
    assert counted(database, rollouts, broke_off).new.attempts == Trials(2, 15)


def test_a_stream_that_its_caller_leaves_has_no_latency(database: Database, rollouts: Rollouts) -> None:
    found = counted(database, rollouts, answered("2", outcome=Outcome.CANCELLED))
    assert found.new.attempts == Trials(0, 1)
    assert found.new.latencies[Measure.TOTAL].total == 0


def test_what_chance_did_not_send_there_is_not_compared(database: Database, rollouts: Rollouts) -> None:
    found = counted(
        database,
        rollouts,
        answered("2", shadow_of="r-1"),
        answered("2", attempts=(attempt(rollout=None),)),
        answered("2", attempts=(attempt(rollout="chat"),)),
        answered("2", time=datetime.fromtimestamp(NOW - 2, UTC)),
        answered("3"),
    )
    assert (found.old.attempts, found.new.attempts) == (Trials(0, 0), Trials(0, 0))


def test_a_fallback_to_a_named_version_is_no_trial_of_it(database: Database, rollouts: Rollouts) -> None:
    attempts = (attempt("smol@1", "engine"), attempt("smol@2", rollout=None))
    found = counted(database, rollouts, answered("2", attempts=attempts))
    assert (found.old.attempts, found.new.attempts) == (Trials(1, 1), Trials(0, 0))


def test_a_new_step_counts_anew_and_the_last_compares_with_the_one_before(
    database: Database, rollouts: Rollouts
) -> None:
    counted(database, rollouts, *[answered("1")] * 5, answered("2"))
    advance(database, rollouts)
    found = counted(database, rollouts, *[answered("1")] * 2, *[answered("2")] * 3)
    assert (found.old.attempts.total, found.new.attempts.total) == (2, 3)
    advance(database, rollouts)
    found = counted(database, rollouts, answered("2"), answered("1"))
    assert (found.old.attempts.total, found.new.attempts.total) == (2, 1)


def test_nothing_is_counted_of_what_is_over(database: Database, rollouts: Rollouts) -> None:
    counted(database, rollouts, answered("2"))
    rollouts.act("smol", RolloutAction.ABORT, "cli:ann")
    assert counted(database, rollouts, answered("2")).new.attempts.total == 1


def test_the_journal_is_counted_once(database: Database, rollouts: Rollouts, tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    open_journal(folder).append(answered("2"))
    start = Cursor("r1.00000001.jsonl")
    for _ in range(2):
        with database.transaction() as connection:
            project(connection, start, read_chunk(folder, start))
    assert counted(database, rollouts).new.attempts == Trials(0, 1)
