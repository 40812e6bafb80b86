"""What happens to pooled models is counted; Ray takes every sample."""

from __future__ import annotations

import pytest
from ray.util.metrics import Gauge

from deployments.metrics.pool import PoolMetrics
from deployments.metrics.replica import Replica
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


def test_each_look_says_what_is_loaded_and_what_of_it_is_in_memory(
    metrics: PoolMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of mapped weights where the model has any, and by the files of its own version."""
    seen: dict[tuple[str, str], float] = {}

    def spy(gauge: Gauge, value: float, tags: dict[str, str]) -> None:
        seen[gauge.info["name"].removeprefix("stowage_pool_"), tags["model"]] = value

    monkeypatch.setattr(Gauge, "set", spy)
    metrics.measured(
        [A], {"a/1/model-1.safetensors": 3, "a/1/model-2.safetensors": 2, "a/10/model.safetensors": 9}
    )
    assert seen == {
        ("resident_bytes", "a"): 10,
        ("resident_bytes", "b"): 0,
        ("planned_weights_bytes", "a"): 6,
        ("measured_weights_bytes", "a"): 5,
    }
    metrics.measured([B], {})
    assert seen == {
        ("resident_bytes", "a"): 0,
        ("resident_bytes", "b"): 20,
        ("planned_weights_bytes", "a"): 0,
        ("measured_weights_bytes", "a"): 0,
    }
