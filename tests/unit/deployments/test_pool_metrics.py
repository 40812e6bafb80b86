"""What happens to pooled models is counted; Ray takes every sample."""

from __future__ import annotations

from deployments.metrics import Replica
from deployments.pool_metrics import PoolMetrics
from models.types import VersionId

A, B = VersionId("a", "1"), VersionId("b", "2")


def test_every_event_is_counted() -> None:
    metrics = PoolMetrics(Replica("pool-small", "abc"), {A: 10, B: 20})
    metrics.loaded(A, 0.2)
    metrics.loaded(B, 0.3)
    metrics.hit(A)
    metrics.failed(B)
    metrics.evicted(A)
    assert metrics.totals == {"loads": 2, "hits": 1, "failures": 1, "evictions": 1}
