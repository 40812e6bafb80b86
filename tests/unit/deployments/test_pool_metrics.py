"""What happens to pooled models is counted; Ray takes every sample."""

from __future__ import annotations

import pytest

from deployments.metrics import Replica
from deployments.pool_metrics import PoolMetrics
from models.types import VersionId

A, B = VersionId("a", "1"), VersionId("b", "2")


@pytest.fixture
def metrics() -> PoolMetrics:
    return PoolMetrics(Replica("pool-small", "abc"), {A: 10, B: 20}, {A: 6})


def test_every_event_is_counted(metrics: PoolMetrics) -> None:
    metrics.loaded(A, 0.2)
    metrics.loaded(B, 0.3)
    metrics.hit(A)
    metrics.failed(B)
    metrics.evicted(A)
    assert metrics.totals == {"loads": 2, "hits": 1, "failures": 1, "evictions": 1}


def test_weights_are_planned_while_they_are_loaded_and_measured_at_any_time(
    metrics: PoolMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the model that has mapped weights, and by the files of its own version."""
    seen: list[tuple[str, float, str]] = []
    for name, gauge in metrics._gauges.items():
        monkeypatch.setattr(gauge, "set", lambda value, tags, name=name: seen.append((name, value, tags["model"])))
    metrics.loaded(A, 0.2)
    metrics.measured({"a/1/model-1.safetensors": 3, "a/1/model-2.safetensors": 2, "a/10/model.safetensors": 9})
    metrics.evicted(A)
    metrics.loaded(B, 0.2)
    assert seen == [
        ("resident_bytes", 10, "a"),
        ("planned_weights_bytes", 6, "a"),
        ("measured_weights_bytes", 5, "a"),
        ("resident_bytes", 0, "a"),
        ("planned_weights_bytes", 0, "a"),
        ("resident_bytes", 20, "b"),
    ]
