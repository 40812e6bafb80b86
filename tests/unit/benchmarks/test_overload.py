from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks.open_loop import Reply
from benchmarks.overload import CAPACITY, Plan, Sample, percentile, refusals_ms, summarise, tables
from deployments.audit.record import Outcome, RequestRecord
from deployments.audit.writer import JournalWriter

PLAN = Plan(duration_s=16.0, interactive=(0.5,))


def replies(source: str, count: int, *, due_s: float = 8, took_s: float = 0.25, status: int = 200) -> list[Reply]:
    return [Reply(source, due_s, due_s + took_s, status)] * count


def test_only_answers_within_the_window_are_served() -> None:
    early = replies("batch acme", 7, due_s=1.0, took_s=0.5)
    late = replies("batch acme", 9, due_s=15.9)
    served = replies("interactive acme", 100) + replies("batch globex", 100)
    sample = summarise(0, 0.5, [*early, *late, *served], [], PLAN)
    assert sample.goodput == pytest.approx(200 / 10 / CAPACITY)
    assert sample.num_requests == 209  # all that came once the queues had settled
    assert sample.least_share == 0.5


def test_latencies_are_of_interactive_answers_and_of_refusals() -> None:
    quick, slow = replies("interactive acme", 95, took_s=0.2), replies("interactive acme", 5, took_s=0.4)
    ignored = replies("batch acme", 50, took_s=9)
    refused = replies("batch globex", 50, took_s=0.004, status=429)
    sample = summarise(0, 0.5, [*quick, *slow, *ignored, *refused], [], PLAN)
    assert sample.interactive_p50_ms == pytest.approx(200)
    assert 200 <= sample.interactive_p95_ms <= 400
    assert sample.rejected == pytest.approx(50 / 200)
    assert sample.interactive_rejected == 0
    assert sample.rejected_p99_ms == pytest.approx(4)
    assert sample.least_share == 0


def test_without_refusals_there_is_no_time_of_them() -> None:
    sample = summarise(0, None, replies("interactive acme", 5), [], PLAN)
    assert (sample.rejected, sample.rejected_p99_ms) == (0, None)


def test_percentiles_are_of_the_sorted_values() -> None:
    assert percentile(list(range(101)), 50) == 50
    assert percentile([0.0, 100.0], 99) == pytest.approx(99)


def test_busy_latency_is_over_the_idle_one_of_the_same_round() -> None:
    def sample(number: int, interactive: float | None, ms: float) -> Sample:
        return Sample(number, interactive, 10, 0.9, ms, 2 * ms, 0.2, 0.5, 3.0, 5.0, 1.0, 0.5)

    samples = [sample(0, None, 200), sample(0, 0.5, 300), sample(1, None, 100), sample(1, 0.5, 120)]
    beside, absolute = tables(samples, PLAN)
    assert beside.rows == (("2 x capacity, 50% interactive", "1.35", "1.35"),)  # of 1.5 and 1.2
    assert [row[0] for row in absolute.rows] == ["idle", "2 x capacity, 50% interactive"]


def test_the_router_tells_in_its_journal_how_long_it_had_what_it_refused(tmp_path: Path) -> None:
    def record(outcome: Outcome, minute: int, total_ms: float) -> RequestRecord:
        time = datetime(2026, 1, 1, 12, minute, tzinfo=UTC)
        return RequestRecord(
            id="r", time=time, replica="r", protocol="openai", operation="generate", tenant="acme",
            outcome=outcome, status=429, total_ms=total_ms,
        )  # fmt: skip

    journal = JournalWriter(tmp_path, "router-x", lambda: datetime(2026, 1, 1, tzinfo=UTC))
    for each in (record(Outcome.REFUSED, 1, 9), record(Outcome.REFUSED, 3, 2), record(Outcome.OK, 3, 200)):
        journal.append(each)
    assert refusals_ms(tmp_path, datetime(2026, 1, 1, 12, 2, tzinfo=UTC)) == [2]
