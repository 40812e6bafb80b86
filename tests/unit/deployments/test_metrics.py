from __future__ import annotations

from deployments.memory_watch import MemoryReport
from deployments.metrics import MemoryMetrics, Replica, Sample, samples
from models.memory.measured import BudgetState, Reading
from models.types import EngineStats
from tests.unit.plans import make_plan

PLAN = make_plan({"weights": 400, "kv_cache": 200}, budget_bytes=700)
FOUND = MemoryReport(Reading(560, 580, {"weights": 390}), 630, (), BudgetState(over=True, num_episodes=2))


def test_planned_and_measured_bytes_have_a_sample_for_each_term() -> None:
    found = set(samples(PLAN, FOUND, EngineStats(num_kv_pages=8, num_kv_pages_used=2)))
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
        Sample("deviation_ratio", 630 / 600 - 1),
        Sample("over_budget", 1),
    }


def test_an_engine_without_a_cache_uses_none_of_it() -> None:
    found = {sample.term: sample.value for sample in samples(make_plan({"weights": 4}), FOUND, EngineStats())}
    assert found["kv_cache"] == 0


def test_every_sample_is_one_that_ray_takes() -> None:
    metrics = MemoryMetrics(Replica("m@1", "abc"), PLAN, EngineStats)
    metrics.report(FOUND)  # Ray raises for a label that a metric was not made with
    metrics.report(FOUND)
