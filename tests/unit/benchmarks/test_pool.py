"""The tables of the pool benchmark."""

from __future__ import annotations

from benchmarks.pool import answer_table, beside_table, latency_table, replica_table, slowdown_table
from benchmarks.pool_samples import Answers, Latencies, ReplicaSample, SideAnswers, Window


def latencies(p99_s: float) -> Latencies:
    return Latencies(p99_s / 2, p99_s, 100, 7)


def window(side: str, idle_s: float, loads_s: float, cold_s: float) -> Window:
    return Window(side, *map(latencies, (idle_s, 1.1 * idle_s, loads_s, cold_s)))


WINDOWS = [
    window("pool", 0.010, 0.012, 0.015),
    window("multiplexed", 0.010, 0.020, 0.040),
    window("pool", 0.020, 0.022, 0.020),
    window("multiplexed", 0.020, 0.030, 0.040),
]


def test_slowdowns_are_taken_within_a_window() -> None:
    assert {row[0]: row[2] for row in slowdown_table(WINDOWS).rows} == {
        "pool, beside requests for warm models": "1.10 (1.10-1.10)",
        "pool, beside loads": "1.15 (1.10-1.20)",
        "pool, beside requests for cold models": "1.25 (1.00-1.50)",
        "multiplexed, beside requests for warm models": "1.10 (1.10-1.10)",
        "multiplexed, beside loads": "1.75 (1.50-2.00)",
        "multiplexed, beside requests for cold models": "3.00 (2.00-4.00)",
    }


def test_sides_are_compared_within_a_round() -> None:
    assert {row[0]: row[2] for row in beside_table(WINDOWS).rows} == {
        "idle": "1.00 (1.00-1.00)",
        "beside requests for warm models": "1.00 (1.00-1.00)",
        "beside loads": "0.67 (0.60-0.73)",
        "beside requests for cold models": "0.44 (0.38-0.50)",
    }


def test_absolute_values_are_medians_in_milliseconds() -> None:
    rows = {row[0]: row[1:] for row in latency_table(WINDOWS).rows}
    assert rows["pool, idle"] == ("7.5", "15", "100", "7")
    assert rows["multiplexed, beside requests for cold models"] == ("20", "40", "100", "7")


def test_answers_and_replicas() -> None:
    table = answer_table([SideAnswers("pool", Answers(10, 0, 1, 2.5))])
    assert table.rows == (("pool", "10", "0", "1", "2.5"),)
    sample = ReplicaSample({"hits": 5, "loads": 3}, 2, 1024, 512, 600)
    assert replica_table([sample]).rows == (("0", "5", "3", "0", "0", "2", "1.0 KiB", "512 B", "600 B"),)
