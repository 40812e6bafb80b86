"""What a replica tells, through Serve's numbers."""

from __future__ import annotations

import pytest

from deployments.scaling.load import BatchUse, ReplicaLoad, TokenUse
from deployments.scaling.replica_stats import Reports, dump_stats, load_stats

GENERATES = ReplicaLoad("r", 1.5, 3, 2, 8, 0.5, 4.0, tokens=TokenUse(512, 4096, 60, 20.5, 900.0))
EMBEDS = ReplicaLoad("r", 1.5, 16, 40, 32, 9.0, None, batches=BatchUse(0.75, 0.2, 0.01, 0.002))
IDLE = ReplicaLoad("r", 1.5, 0, 0, 8, tokens=TokenUse(0, 4096))


@pytest.mark.parametrize("load", [GENERATES, EMBEDS, IDLE], ids=["generates", "embeds", "idle"])
def test_what_is_told_is_heard(load: ReplicaLoad) -> None:
    told = dump_stats(load)
    assert all(type(value) is float for value in told.values())  # Serve takes nothing else
    assert load_stats("r", 1.5, {**told, "running_requests": 7.0}) == load


@pytest.mark.parametrize("told", [{}, {"running_requests": 1.0}, {"stowage_num_running": 1.0}])
def test_a_replica_of_another_release_tells_nothing(told: dict[str, float]) -> None:
    assert load_stats("r", 0, told) is None


def test_what_a_replica_tells_ages_by_the_clock_of_who_listens() -> None:
    reports = Reports()
    assert reports.age_s("r", told_at=9999, now=100) == 0
    assert reports.age_s("r", told_at=9999, now=103) == 3
    assert reports.age_s("r", told_at=10001, now=104) == 0
    reports.keep(set())
    assert reports.age_s("r", told_at=10001, now=110) == 0
