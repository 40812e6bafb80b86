"""What reports add up to."""

from __future__ import annotations

from deployments.scaling.load import RouterLoad
from deployments.scaling.offered import offered
from tests.unit.deployments.scaling.loads import generating, load


def test_routers_tell_what_comes_and_replicas_what_runs() -> None:
    routers = RouterLoad(age_s=1.0, num_under_way=12, num_waiting=5, arrivals_per_s=3.0)
    seen = offered(load(generating(num_running=8, num_waiting=4), routers=routers), 15.0)
    assert seen is not None
    assert (seen.num_running, seen.num_waiting, seen.arrivals_per_s) == (8, 9, 3.0)


def test_what_is_under_way_at_a_silent_replica_runs_there() -> None:
    routers = RouterLoad(age_s=1.0, num_under_way=30)
    seen = offered(load(generating(num_running=8), generating("b", age_s=60.0), routers=routers), 15.0)
    assert seen is not None
    assert seen.num_running == 30
    assert [report.replica for report in seen.fresh] == ["a"]


def test_without_routers_replicas_tell_what_they_end_and_stand_for_silent_ones() -> None:
    seen = offered(load(generating(), generating("b", age_s=60.0), routers=RouterLoad()), 15.0)
    assert seen is not None
    assert (seen.num_running, seen.arrivals_per_s) == (16, 4.0)


def test_without_any_nothing_is_known() -> None:
    assert offered(load(generating(age_s=60.0), routers=RouterLoad(age_s=60.0)), 15.0) is None
    assert offered(load(routers=RouterLoad()), 15.0) is None
