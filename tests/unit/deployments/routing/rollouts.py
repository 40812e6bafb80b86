"""Rollouts and numbers of them for tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from deployments.routing.latency_histogram import LatencyHistogram, bucket_of
from deployments.routing.rollout import Rollout, RolloutPlan, begin
from deployments.routing.rollout_findings import Measure, VersionStats
from deployments.routing.sequential_test import Trials
from models.types import VersionId

OLD, NEW = VersionId("smol", "1"), VersionId("smol", "2")
NOW = 1_800_000_000.0
PLAN = RolloutPlan(steps=(5, 50, 100), hold_s=60, min_requests=20)


def rollout(plan: RolloutPlan = PLAN, now: float = NOW) -> Rollout:
    return begin("smol", OLD, NEW, plan, now)


def stats(total: int = 0, errors: int = 0, latencies: Sequence[float] = ()) -> VersionStats:
    histogram = LatencyHistogram(Counter(map(bucket_of, latencies)))
    return VersionStats(Trials(errors, total), {Measure.TOTAL: histogram})
