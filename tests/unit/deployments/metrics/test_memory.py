from __future__ import annotations

import pytest

from deployments.metrics.memory import MemoryMetrics, Sample, kv_cache_in_use, samples
from deployments.metrics.replica import Replica
from deployments.metrics.replica_rows import BUDGET, DEVIATION, MEASURED, OVER_BUDGET, PLANNED
from models.memory.measured import BudgetState, MemoryReport, Reading
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
        Sample(PLANNED, 400, "weights"),
        Sample(PLANNED, 200, "kv_cache"),
        Sample(PLANNED, 600, "total"),
        Sample(PLANNED, 0, "host"),
        Sample(MEASURED, 390, "weights"),
        Sample(MEASURED, 50, "kv_cache"),
        Sample(MEASURED, 560, "total"),
        Sample(MEASURED, 630, "peak"),
        Sample(BUDGET, 700),
        Sample(DEVIATION, 0.05),
        Sample(OVER_BUDGET, 1),
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
