"""The simulated cluster, with policies that say what they are told to."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from benchmarks.scaling_cluster import Cluster, ClusterModel
from benchmarks.scaling_engine import EngineModel
from benchmarks.scaling_ours import OurPolicy
from benchmarks.scaling_ray import RayPolicy, RaySettings
from benchmarks.scaling_traces import Request, Trace
from deployments.scaling.settings import Kind, ScalingSettings

ENGINE = EngineModel(4, 4000, 200, step_s=0.1, sequence_s=0.0, token_s=0.0005)
MODEL = ClusterModel(ENGINE, cold_start_s=10.0, max_replicas=8)


def steady(per_s: float, length_s: float, start_s: float = 0.0) -> Trace:
    """Requests of about two seconds each."""
    number = int(per_s * length_s)
    return Trace("steady", tuple(Request(start_s + each / per_s, 100, 20) for each in range(number)))


class Told:
    """A policy: what ``say`` says of the time."""

    def __init__(self, say: Callable[[float], int]) -> None:
        self._say = say
        self.most_under_way: dict[int, int] = {}

    def target(self, cluster: Cluster) -> int:
        ready = len(cluster.ready)
        self.most_under_way[ready] = max(self.most_under_way.get(ready, 0), cluster.num_under_way)
        return self._say(cluster.now)


def simulate(
    trace: Trace, say: Callable[[float], int], first: int, model: ClusterModel = MODEL
) -> tuple[Cluster, Told]:
    cluster, policy = Cluster(model, trace, first), Told(say)
    cluster.run(policy, trace.length_s)
    return cluster, policy


def test_everyone_is_served_however_replicas_come_and_go() -> None:
    cluster, _ = simulate(steady(4.0, 300), lambda now: 1 + int(now / 20) % 4, 2)
    assert all(job.ended > job.first_token >= job.entered >= job.arrived for job in cluster.jobs)
    assert cluster.num_under_way == 0


def test_a_replica_serves_after_its_cold_start_and_takes_resources_from_its_order_on() -> None:
    cluster, _ = simulate(steady(1.0, 60), lambda now: 1 if now < 20 else 3, 1)
    ordered = next(each for each in cluster.moments if each.num_taken == 3)
    ready = next(each for each in cluster.moments if each.num_ready == 3)
    assert ordered.at == 20
    assert 29 <= ready.at <= 32


def test_a_node_that_has_to_be_provided_takes_longer() -> None:
    model = ClusterModel(ENGINE, cold_start_s=10.0, max_replicas=8, node_s=50.0, num_nodes=2)
    cluster, _ = simulate(steady(1.0, 120), lambda _: 3, 1, model)
    starts = sorted(seconds for _, seconds in cluster.starts)
    assert starts[0] == pytest.approx(10, abs=1)
    assert starts[1] == pytest.approx(60, abs=1)


def test_the_router_lets_a_quarter_more_through_than_there_are_places() -> None:
    cluster, policy = simulate(steady(20.0, 30), lambda _: 2, 2)
    assert policy.most_under_way == {2: math.ceil(1.25 * 8)}
    assert cluster.jobs[-1].entered > cluster.jobs[-1].arrived + 10


def test_who_is_taken_away_finishes_what_it_has() -> None:
    cluster, _ = simulate(steady(2.0, 60), lambda now: 2 if now < 30 else 1, 2)
    draining = [each for each in cluster.moments if each.num_taken == 2 and each.num_ready == 1]
    assert draining
    assert cluster.moments[-1].num_taken == 1


def ray(settings: RaySettings, trace: Trace, first: int) -> Cluster:
    cluster = Cluster(MODEL, trace, first)
    cluster.run(RayPolicy(settings, MODEL.max_replicas, first), trace.length_s)
    return cluster


def test_rays_own_policy_waits_for_its_delay_and_scales_by_ongoing_requests() -> None:
    cluster = ray(RaySettings(upscale_delay_s=30.0), steady(4.0, 120), 1)
    first = next(each for each in cluster.moments if each.target > 1)
    assert 30 <= first.at <= 45
    assert first.target > 2


def test_rays_own_policy_is_slow_to_scale_down() -> None:
    quiet = Trace("quiet", (*steady(4.0, 60).requests, Request(400.0, 100, 20)))
    slow = ray(RaySettings(downscale_delay_s=600.0), quiet, 4)
    fast = ray(RaySettings(downscale_delay_s=30.0), quiet, 4)
    assert min(each.target for each in slow.moments) >= 4
    assert min(each.target for each in fast.moments) == 1


def test_ray_starts_one_replica_for_what_waits_at_none() -> None:
    burst = Trace("burst", tuple(Request(10.0 + each / 100, 100, 20) for each in range(50)))
    cluster = ray(RaySettings(min_replicas=0), Trace("burst", (*burst.requests, Request(60.0, 100, 20))), 0)
    assert [each.target for each in cluster.moments][:2] == [0, 1]
    assert cluster.moments[1].at < 11


def test_ray_does_not_see_what_waits_in_our_router() -> None:
    seen, unseen = (
        max(
            each.target
            for each in ray(RaySettings(sees_queue=sees, target_ongoing_requests=3.0), steady(8.0, 60), 1).moments
        )
        for sees in (True, False)
    )
    assert unseen < seen


def ours(trace: Trace, first: int, **changes: float) -> Cluster:
    cluster = Cluster(MODEL, trace, first)
    settings = ScalingSettings(Kind.GENERATION, 0, MODEL.max_replicas, 4, 4000, **changes)  # type: ignore[arg-type]
    cluster.run(OurPolicy(settings), trace.length_s)
    return cluster


def test_ours_follows_a_step_within_seconds() -> None:
    trace = Trace("step", (*steady(1.0, 100).requests, *steady(6.0, 60, 100.0).requests))
    cluster = ours(trace, 1)
    assert next(each for each in cluster.moments if each.at > 100 and each.target > 3).at < 106


def test_ours_goes_to_none_when_it_is_idle_and_wakes_several_at_once() -> None:
    burst = tuple(Request(400.0 + each / 20, 100, 20) for each in range(60))
    cluster = ours(Trace("silence", (*steady(1.0, 30).requests, *burst)), 1, idle_s=60.0)
    asleep = next(each for each in cluster.moments if each.target == 0)
    woken = next(each for each in cluster.moments if each.at >= 400 and each.target > 1)
    assert 85 <= asleep.at <= 95
    assert woken.at < 405
    assert all(job.ended > 0 for job in cluster.jobs)


def test_the_same_seed_gives_the_same_run() -> None:
    first, second = (ours(steady(3.0, 120), 1) for _ in range(2))
    assert first.moments == second.moments
    assert [job.ended for job in first.jobs] == [job.ended for job in second.jobs]
