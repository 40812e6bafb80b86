from __future__ import annotations

import pytest

from deployments.memory_watch import MemoryReport
from deployments.metrics import MemoryMetrics, Replica, Sample, kv_cache_in_use, samples
from models.memory.measured import BudgetState, Reading
from models.types import EngineStats, VersionId
from tests.unit.plans import make_plan

PLAN = make_plan({"weights": 400, "kv_cache": 200}, budget_bytes=700)
FOUND = MemoryReport(
    planned=PLAN.planned,
    reading=Reading(560, 580, {"weights": 390}),
    peak_bytes=630,
    deviation=0.05,
    compared=(),
    state=BudgetState(over=True, num_episodes=2),
)


def test_planned_and_measured_bytes_have_a_sample_for_each_term() -> None:
    found = set(samples(FOUND, {"kv_cache": 50}))
    assert found == {
        Sample("planned_bytes", 400, "weights"),
        Sample("planned_bytes", 200, "kv_cache"),
        Sample("planned_bytes", 600, "total"),
        Sample("planned_bytes", 0, "host"),
        Sample("measured_bytes", 390, "weights"),
        Sample("measured_bytes", 50, "kv_cache"),
        Sample("measured_bytes", 560, "total"),
        Sample("measured_bytes", 630, "peak"),
        Sample("budget_bytes", 700),
        Sample("deviation_ratio", 0.05),
        Sample("over_budget", 1),
    }


def test_the_cache_in_use_is_its_pages_in_use() -> None:
    assert kv_cache_in_use(PLAN.kv_cache_bytes, EngineStats(num_kv_pages=8, num_kv_pages_used=2)) == {
        "kv_cache": 50
    }
    assert kv_cache_in_use(0, EngineStats()) == {"kv_cache": 0}


@pytest.mark.parametrize("version", [VersionId("m", "1"), None], ids=["of a model", "of a pool"])
def test_every_sample_is_one_that_ray_takes(version: VersionId | None) -> None:
    metrics = MemoryMetrics(Replica("m@1", "abc"), version, dict)
    MemoryMetrics(Replica("m@1", "abc"), version, dict, rank=1).report(FOUND)
    metrics.report(FOUND)  # Ray raises for a label that a metric was not made with
    metrics.report(FOUND)
