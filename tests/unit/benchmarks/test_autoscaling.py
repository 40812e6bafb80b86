"""The comparison of autoscaling policies: what is called best, and its tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import scaling_cases
from benchmarks.autoscaling import best, grid
from benchmarks.scaling_cases import OURS, SHORT, SIZED, SOON, Case, Sample, run
from benchmarks.scaling_cluster import ClusterModel
from benchmarks.scaling_plots import draw_runs
from benchmarks.scaling_tables import step_table
from benchmarks.scaling_traces import Made, Request, Trace

SAMPLE = Sample("step 20 1", "Stowage", "", 0.99, 1000.0, 20.0, 4, 9, 600.0)
LIKE = Trace("like", (Request(0.0, 800, 100), Request(1.0, 1600, 200)))


def test_the_best_is_the_cheapest_that_serves_99_percent_in_time() -> None:
    dear, cheap = replace(SAMPLE, attainment=1.0, replica_seconds=2000.0), replace(SAMPLE, attainment=0.992)
    poor = replace(SAMPLE, attainment=0.95, replica_seconds=10.0)
    assert best([dear, cheap, poor]) == cheap
    assert best([poor, replace(poor, attainment=0.9, replica_seconds=1.0)]) == poor


def test_rays_settings_are_all_different() -> None:
    assert len({side.ray for side in grid()}) == 72


def test_a_row_has_the_means_of_seeds_and_ours_over_it() -> None:
    samples = [
        replace(SAMPLE, side=side.name, case=f"step 20 {seed}", recovery_s=recovery_s, replica_seconds=cost)
        for side, recovery_s, cost in ((OURS, 20.0, 1000.0), (SIZED, 80.0, 4000.0))
        for seed in (1, 2)
    ]
    rows = {row[0]: row[1:] for row in step_table(samples, ["step 20"], (OURS, SIZED)).rows}
    assert rows["20 s: Ray, target 12"] == ("80 s", "0.25", "4,000", "0.25", "99.0%", "9")


@pytest.fixture
def short_step(monkeypatch: pytest.MonkeyPatch) -> str:
    made = Made("step", ((0.0, 1.0), (60.0, 4.0)), 180.0, LIKE, 1, 60.0)
    case = Case(made.trace(), ClusterModel(SHORT, 10.0, 16), SOON, 1)
    monkeypatch.setattr(scaling_cases, "case_of", lambda _: case)
    return "step"


def test_after_a_step_ours_recovers_sooner_for_less(short_step: str) -> None:
    ours, rays = (run(short_step, side).sample for side in (OURS, SIZED))
    assert ours.recovery_s is not None
    assert rays.recovery_s is not None
    assert 0 < ours.recovery_s < 0.5 * rays.recovery_s


def test_the_same_runs_give_the_same_picture(short_step: str, tmp_path: Path) -> None:
    pictures = []
    for name in ("first.svg", "second.svg"):
        draw_runs({"Stowage": run(short_step, OURS)}, tmp_path / name, 30.0, 150.0)
        pictures.append((tmp_path / name).read_text(encoding="utf-8"))
    assert pictures[0] == pictures[1]
    assert "<svg" in pictures[0]
