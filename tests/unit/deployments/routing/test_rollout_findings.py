"""How rollouts of good and of bad versions end, simulated with a look each second."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random

import pytest

from deployments.routing.latency_histogram import LatencyHistogram, bucket_of
from deployments.routing.rollout import RolloutPlan
from deployments.routing.rollout_findings import ALPHA, Measure, StepStats, VersionStats, find
from deployments.routing.sequential_test import Trials
from tests.unit.deployments.routing.rollouts import stats

PLAN = RolloutPlan()


@dataclass
class Traffic:
    """One version: how often it fails, and how long it takes, log-normally distributed."""

    rng: Random
    error_rate: float
    median_ms: float = 100.0
    spread: float = 0.5
    total: int = 0
    errors: int = 0
    counts: Counter[int] = field(default_factory=Counter)

    def send(self, requests: int, *, timed: bool) -> None:
        failed = sum(self.rng.random() < self.error_rate for _ in range(requests))
        self.total += requests
        self.errors += failed
        if timed:
            for _ in range(requests - failed):
                self.counts[bucket_of(self.median_ms * self.rng.lognormvariate(0, self.spread))] += 1

    def stats(self) -> VersionStats:
        return VersionStats(Trials(self.errors, self.total), {Measure.TOTAL: LatencyHistogram(self.counts)})


def requests_until_back(new: Traffic, old: Traffic, per_s: int, share: float, seconds: int, *, timed: bool) -> int:
    """Requests to the new version when it goes back, looking each second; 0: it never does."""
    for _ in range(seconds):
        to_new = sum(new.rng.random() < share for _ in range(per_s))
        new.send(to_new, timed=timed)
        old.send(per_s - to_new, timed=timed)
        if find(StepStats(old.stats(), new.stats()), PLAN).broken:
            return new.total
    return 0


def test_a_version_that_is_no_worse_almost_never_goes_back() -> None:
    """Errors as frequent as the limit allows, and all other tests at once: five minutes, a look each second."""
    rng, runs = Random(5), 400  # noqa: S311
    back = sum(
        requests_until_back(Traffic(rng, 0.01), Traffic(rng, 0.01), 20, 0.25, 300, timed=False) > 0
        for _ in range(runs)
    )
    assert back / runs <= ALPHA


def test_equal_latencies_almost_never_go_back() -> None:
    rng, runs = Random(6), 12  # noqa: S311
    back = sum(
        requests_until_back(Traffic(rng, 0.001), Traffic(rng, 0.001), 20, 0.25, 120, timed=True) > 0
        for _ in range(runs)
    )
    assert back == 0


def test_ten_times_the_errors_go_back_within_some_hundred_requests() -> None:
    rng = Random(7)  # noqa: S311
    needed = sorted(
        requests_until_back(Traffic(rng, 0.05), Traffic(rng, 0.005), 100, 0.05, 400, timed=False)
        for _ in range(40)
    )
    assert needed[0] > 0
    assert needed[20] < 350
    assert needed[-1] < 1000


def test_a_version_that_always_fails_goes_back_after_a_handful() -> None:
    rng = Random(8)  # noqa: S311
    needed = [
        requests_until_back(Traffic(rng, 1.0), Traffic(rng, 0.005), 100, 0.01, 60, timed=False) for _ in range(20)
    ]
    assert min(needed) > 0
    assert max(needed) <= 8


@pytest.mark.parametrize(("spread", "at_most"), [(0.3, 150), (0.5, 250)])
def test_twice_the_latency_goes_back(spread: float, at_most: int) -> None:
    rng = Random(9)  # noqa: S311
    needed = [
        requests_until_back(Traffic(rng, 0, 200, spread), Traffic(rng, 0, 100, spread), 100, 0.05, 120, timed=True)
        for _ in range(5)
    ]
    assert min(needed) > 0
    assert max(needed) < at_most


def test_a_slow_tail_is_found_too() -> None:
    """A quarter of the requests takes three times as long: the median hardly moves."""
    rng = Random(10)  # noqa: S311
    old = [100 * rng.lognormvariate(0, 0.2) for _ in range(5000)]
    new = [100 * rng.lognormvariate(0, 0.2) * (3 if rng.random() < 0.25 else 1) for _ in range(1000)]
    findings = find(StepStats(stats(5000, 0, old), stats(1000, 0, new)), PLAN)
    (broken,) = findings.broken
    assert broken.startswith("latency total_p90 2.38 times")
    assert findings.numbers.latency_ratios["total_p50"] < 1.2


def test_an_outage_of_both_breaks_the_limit_alone() -> None:
    findings = find(StepStats(stats(4000, 400), stats(1000, 100)), PLAN)
    assert findings.broken == ("error rate 10% (100 of 1000 requests), surely above 1%",)


def test_a_version_that_is_worse_within_the_limit_is_found() -> None:
    (broken,) = find(StepStats(stats(100_000, 50), stats(20_000, 150)), PLAN).broken
    assert "surely above that of the old version" in broken


def test_latencies_of_one_version_alone_say_nothing() -> None:
    assert find(StepStats(stats(200), stats(200, 0, [5.0] * 200)), PLAN).numbers.latency_ratios == {}
