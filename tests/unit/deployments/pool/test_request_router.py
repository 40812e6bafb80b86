"""Ray's request router with our choice in it, over replicas that are stood in for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest
from ray.serve._private.common import DeploymentHandleSource, DeploymentID, ReplicaID, RequestMetadata
from ray.serve._private.request_router.common import PendingRequest
from ray.serve.request_router import RunningReplica

from deployments.pool.rendezvous import rank
from deployments.pool.request_router import PoolRequestRouter

POOL = DeploymentID("Pool", "pool-small")
NAMES = ("r1", "r2", "r3")


def replica(name: str) -> RunningReplica:
    return cast("RunningReplica", SimpleNamespace(replica_id=ReplicaID(name, POOL)))


async def choose(model: str, loads: dict[str, int]) -> list[str]:
    router = PoolRequestRouter(POOL, DeploymentHandleSource.REPLICA, use_replica_queue_len_cache=True)
    router.initialize_state(spread_above=2)
    for name, load in loads.items():
        router.on_new_queue_len_info(ReplicaID(name, POOL), load)
    metadata = RequestMetadata("request", f"internal-{model}", multiplexed_model_id=model)
    request = PendingRequest([], {}, metadata)
    ranks = await router.choose_replicas([replica(name) for name in NAMES], request)
    assert request.routing_context.should_backoff
    return [only.replica_id.unique_id for (only,) in ranks]


async def test_a_quiet_model_goes_where_it_ranks_first() -> None:
    assert await choose("a@1", {}) == rank("a@1", NAMES)


async def test_a_hot_one_spreads() -> None:
    first, second, third = rank("a@1", NAMES)
    assert await choose("a@1", {first: 5}) == [second, third, first]


@pytest.mark.parametrize("name", NAMES)
async def test_a_call_for_no_model_may_go_to_any(name: str) -> None:
    assert name in await choose("", {})


async def test_nobody_to_choose_for() -> None:
    router = PoolRequestRouter(POOL, DeploymentHandleSource.REPLICA)
    candidates = [replica(name) for name in NAMES]
    assert await router.choose_replicas(candidates) == [candidates]
