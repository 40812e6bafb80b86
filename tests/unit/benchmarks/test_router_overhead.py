from __future__ import annotations

from itertools import product

from benchmarks.router_overhead import CONNECTIONS, PATHS, Plan, tables
from benchmarks.windows import Sample

PLAN = Plan(settings=("ray", "stowage"), num_passes=1, num_rounds=2)
RATES = {
    ("ray", "stowage"): 50.0,
    ("ray", "without keys"): 40.0,
    ("ray", "chain"): 100.0,
    ("stowage", "stowage"): 80.0,
    ("stowage", "without keys"): 160.0,
    ("stowage", "chain"): 100.0,
}


def samples() -> list[Sample]:
    """The order in which they come must not matter, so the rounds are backwards."""
    return [
        Sample(
            setting=setting,
            round=number,
            target=target,
            connections=connections,
            # The machine is three times as fast in the second round.
            requests_per_s=RATES[setting, target] * (1 + 2 * number),
            latency_p50_ms=1,
            latency_p99_ms=2,
            cpu_ms=10,
            idle_cores=0.1,
        )
        for setting, target, number, connections in product(PLAN.settings, PATHS, (1, 0), CONNECTIONS)
    ]


def test_ratios_are_within_a_round_and_a_setting() -> None:
    overhead, keys, settings, _ = tables(samples(), PLAN)
    assert [row[:2] for row in overhead.rows[:: len(CONNECTIONS)]] == [
        ("ray, 1 connections", "0.50 (0.50-0.50)"),
        ("stowage, 1 connections", "0.80 (0.80-0.80)"),
    ]
    assert [row[1] for row in keys.rows[:: len(CONNECTIONS)]] == ["1.25 (1.25-1.25)", "0.50 (0.50-0.50)"]
    assert [row[:2] for row in settings.rows[:2]] == [
        ("stowage, 1 connections, stowage", "1.60 (1.60-1.60)"),
        ("stowage, 1 connections, chain", "1.00 (1.00-1.00)"),
    ]
    assert len(settings.rows) == 2 * len(CONNECTIONS)


def test_medians_are_there_for_each_target() -> None:
    medians = tables(samples(), PLAN)[-1]
    assert len(medians.rows) == len(PLAN.settings) * len(CONNECTIONS) * len(PATHS)
    # In the ray setting: 50 and 150 requests/s; 10 ms less 0.1 cores x 1/50 s and 1/150 s.
    assert medians.rows[0][:2] == ("ray, 1 connections, stowage", "100")
    assert medians.rows[0][-1] == "8.667"
