"""A sleeping model is woken by the requests that are held for it; one that finds no node says what it lacks. On a
real Serve, whose replicas load nothing and whose GPUs are only numbers."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator

import pytest
from ray import serve

from deployments.dataplane.catalog import Catalog
from deployments.dataplane.waking import Progress, Waking, WakingLimits
from deployments.handles import ServeClients
from deployments.live import fetch_picture
from deployments.routing.states import ModelState
from models.errors import ModelUnavailableError
from models.memory.plan import format_bytes
from models.types import EngineStats, VersionId
from tests.integration.cluster import eventually
from tests.integration.gpu_nodes import H100, gpu_nodes, leaves_sockets_open, start_model, where

pytestmark = leaves_sockets_open

START_S = 3.0
NUM_SEATS = 3


class Sleeper:
    """Takes its time to start."""

    def __init__(self) -> None:
        time.sleep(START_S)

    def stats(self) -> EngineStats:
        return EngineStats(num_running=7)


@pytest.fixture(scope="module")
def node() -> Iterator[None]:
    with gpu_nodes("a"):
        yield


@pytest.fixture
def sleeping(node: None) -> Iterator[VersionId]:
    """One that is asleep."""
    options = {"min_replicas": 0, "initial_replicas": 0, "max_replicas": 1, "downscale_delay_s": 600}
    deployment = serve.deployment(autoscaling_config=options, ray_actor_options={"num_cpus": 0.1})(Sleeper)
    serve._run(deployment.bind(), name="sleeper@1", route_prefix=None, _blocking=False)
    eventually(lambda: live("sleeper@1").status == "asleep", 60, "the model is asleep")
    yield VersionId("sleeper", "1")
    serve.delete("sleeper@1")


def live(name: str) -> ModelState:
    found = {str(state.id): state for state in fetch_picture().states}
    return found.get(name, ModelState(VersionId.parse(name), ready=False, status="absent"))


def reason(name: str, status: str, timeout_s: float) -> str:
    """Why it has that status, as soon as it has."""
    return eventually(lambda: live(name).reason if live(name).status == status else None, timeout_s, status)


async def test_requests_wake_a_sleeping_model_and_few_are_held(sleeping: VersionId) -> None:
    catalog = Catalog(fetch_picture, period_s=1)
    waking = Waking(catalog, ServeClients(), WakingLimits(max_waiting=NUM_SEATS))
    await catalog.refresh()
    (state,) = (each for each in catalog.states if each.id == sleeping)
    deadline = asyncio.get_running_loop().time() + 90
    told: list[Progress] = []
    held = [asyncio.create_task(waking.until_ready(state, deadline, told.append)) for _ in range(NUM_SEATS)]
    await asyncio.sleep(0)
    with pytest.raises(ModelUnavailableError, match=f"{NUM_SEATS} requests wait for it already") as refused:
        waking.until_ready(state, deadline, told.append).send(None)  # it waits for nothing
    assert refused.value.retry_after_s > 0
    assert {(await each).status for each in held} == {"ready"}
    assert live(str(sleeping)).status == "ready"
    assert any(re.fullmatch(r"waiting for sleeper@1: starting \(\d+ s\): .+", str(each)) for each in told)


def test_a_gpu_model_that_finds_no_node_says_how_many_bytes_it_lacks(node: None) -> None:
    for name, gpu in (("one", 0), ("two", 1)):
        where(start_model(name, 90, ("a", gpu)), 1)
    began = time.monotonic()
    said = reason(start_model("three", 60, ("a", 0)), "waiting", timeout_s=30)
    assert time.monotonic() - began < 15
    needed, free = (format_bytes(round(share * H100.usable_bytes)) for share in (0.6, 0.2))
    assert said == (
        f"it cannot be scheduled: it needs {needed} of GPU memory; "
        f"the largest free on one node is {free} of GPU memory"
    )
