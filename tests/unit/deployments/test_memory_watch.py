from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from deployments.args import MemoryPolicy
from deployments.memory_watch import MemoryWatch
from models.errors import EngineError
from models.memory.measured import Compared, MemoryReport, Reading, compare
from models.memory.terms import MemoryTerm
from tests.unit.plans import make_plan

MIB = 1024**2
PLANNED = make_plan({"weights": 400 * MIB, "activations": 300 * MIB, "runtime": 300 * MIB}).planned
READY = Reading(600 * MIB, 600 * MIB, {"weights": 0})


class FakeMeter:
    """Gives these totals, in MiB, one after the other; an exception is raised."""

    def __init__(self, *totals: int | Exception) -> None:
        self._totals = iter(totals)

    def read(self) -> Reading:
        found = next(self._totals)
        if isinstance(found, Exception):
            raise found
        return Reading(found * MIB, found * MIB, {"weights": 0})


def since_ready(terms: Sequence[MemoryTerm], now: Reading) -> tuple[Compared, ...]:
    return compare(terms, READY, now)


def watch(policy: MemoryPolicy, *totals: int) -> tuple[MemoryWatch, list[MemoryReport]]:
    reports: list[MemoryReport] = []
    return MemoryWatch(lambda: PLANNED, policy, FakeMeter(*totals), since_ready, reports.append), reports


@pytest.fixture(autouse=True)
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    logger = logging.getLogger("ray.serve")
    before, logger.propagate = logger.propagate, True
    yield
    logger.propagate = before


def test_the_culprit_is_named_once_for_each_episode(caplog: pytest.LogCaptureFixture) -> None:
    watched, reports = watch("warn", 900, 1100, 1110, 1000, 1200)
    for _ in range(5):
        watched.look()
    assert [report.state.over for report in reports] == [False, True, True, False, True]
    over, back, again = caplog.messages
    assert over == (
        "m@1 takes 1.1 GiB of memory, 10.0% over its budget of 1000.0 MiB (activations: planned 300.0 MiB, "
        "measured 500.0 MiB); it goes on, for memory_policy is warn."
    )
    assert back == "m@1 is back within its memory budget."
    assert "20.0% over" in again


def test_the_peak_is_the_most_since_the_replica_was_ready() -> None:
    watched, reports = watch("warn", 900, 800)
    watched.look()
    watched.look()
    assert [report.peak_bytes for report in reports] == [900 * MIB] * 2
    assert reports[-1].reading.total_bytes == 800 * MIB
    assert reports[-1].deviation == pytest.approx(-0.1)


def test_once_the_plan_changes_the_deviation_is_of_what_is_measured_from_then_on() -> None:
    """Of a process that hosts less than before, a peak of before says nothing."""
    now = [PLANNED]
    reports: list[MemoryReport] = []
    watched = MemoryWatch(lambda: now[0], "warn", FakeMeter(900, 700, 660, 630), since_ready, reports.append)
    watched.look()
    watched.look()
    now[0] = replace(PLANNED, terms=PLANNED.terms[1:])
    watched.look()
    watched.look()
    assert [report.planned.total_bytes // MIB for report in reports] == [1000, 1000, 600, 600]
    assert [report.deviation for report in reports] == pytest.approx([-0.1, -0.1, 0.1, 0.1])
    assert [report.peak_bytes // MIB for report in reports] == [900] * 4


def test_warn_refuses_nothing() -> None:
    watched, _ = watch("warn", 2000)
    watched.look()
    assert watched.admit() is None
    watched.check()


def test_shed_refuses_new_work_until_it_is_back() -> None:
    watched, _ = watch("shed", 900, 1100, 1010, 1000)
    refused = []
    for _ in range(4):
        watched.look()
        watched.check()
        refused.append(watched.admit() is not None)
    assert refused == [False, True, True, False]


def test_a_refusal_says_why_and_when_to_come_back() -> None:
    watched, _ = watch("shed", 1100)
    watched.look()
    refusal = watched.admit()
    assert refusal is not None
    assert "m@1 takes 1.1 GiB of memory, 10.0% over its budget" in str(refusal)
    assert refusal.retry_after_s == 10


def test_restart_fails_the_health_check_with_the_reason() -> None:
    watched, _ = watch("restart", 900, 1100, 900)
    watched.look()
    watched.check()
    watched.look()
    assert watched.admit() is None
    with pytest.raises(EngineError, match=r"m@1 takes 1.1 GiB of memory, 10.0% over its budget"):
        watched.check()
    watched.look()
    watched.check()


def test_a_replica_that_never_fitted_is_not_restarted_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    watched, _ = watch("restart", 1100)
    watched.look()
    watched.check()
    assert "a restart would not help" in caplog.text


def test_a_failed_look_is_logged_and_the_next_one_comes(caplog: pytest.LogCaptureFixture) -> None:
    reported = threading.Event()
    meter = FakeMeter(OSError("smaps cannot be read"), *[700] * 1000)
    watched = MemoryWatch(lambda: PLANNED, "warn", meter, since_ready, lambda _: reported.set())
    watched.start(period_s=0.01)
    assert reported.wait(10)
    watched.close()
    assert "smaps cannot be read" in caplog.text
