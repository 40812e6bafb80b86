"""Serve's account of its applications, read as the state of each model version."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.routing.bundles import Bundles
from deployments.routing.shortage import FreeNode
from deployments.routing.states import (
    LONG_PLACEMENT_S,
    PLACEMENT_GRACE_S,
    ApplicationView,
    ModelState,
    ReplicaView,
    read_states,
    read_status,
)
from models.types import ModelCard, Task, VersionId

NOW = 1_000_000.0
RUNNING = ReplicaView("RUNNING", placed=True, started_unix_s=NOW - 60)
LOADING = ReplicaView("STARTING", placed=True, started_unix_s=NOW - 60)
MIGRATING = ReplicaView("PENDING_MIGRATION", placed=True, started_unix_s=NOW - 60)  # its node is to go
JUST_ASKED_FOR = ReplicaView("STARTING", placed=False, started_unix_s=NOW - PLACEMENT_GRACE_S + 0.1)
UNPLACED = ReplicaView("STARTING", placed=False, started_unix_s=NOW - PLACEMENT_GRACE_S - 0.1)

DEPLOYING = ApplicationView("m@1", "DEPLOYING", "", target_num_replicas=1)
TRACEBACK = "Traceback (most recent call last):\n  File x\nmodels.errors.SourceError: there is no /x  \n\n"

VIEWS = st.builds(
    ApplicationView,
    name=st.sampled_from(["m@1", "m@2", "n@1", "router"]),
    status=st.sampled_from(["NOT_STARTED", "DEPLOYING", "DEPLOY_FAILED", "RUNNING", "UNHEALTHY", "DELETING"]),
    message=st.sampled_from(["", TRACEBACK]),
    target_num_replicas=st.integers(0, 2),
    replicas=st.lists(st.sampled_from([RUNNING, LOADING, UNPLACED]), max_size=2).map(tuple),
)


def read(view: ApplicationView, **free: float) -> ModelState:
    """``free`` is what the only node has."""
    (state,) = read_states([view], [FreeNode(free)], NOW)
    return state


@pytest.mark.parametrize(
    ("view", "status", "reason"),
    [
        (replace(DEPLOYING, replicas=(LOADING,)), "starting", "its replica is loading"),
        (replace(DEPLOYING, replicas=(JUST_ASKED_FOR,)), "starting", "its replica is loading"),
        (replace(DEPLOYING, message="Building."), "starting", "Building."),
        (replace(DEPLOYING, replicas=(LOADING, RUNNING)), "ready", None),
        (replace(DEPLOYING, status="RUNNING", replicas=(RUNNING,)), "ready", None),
        (replace(DEPLOYING, status="UNHEALTHY", replicas=(LOADING,)), "starting", "its replica is loading"),
        (replace(DEPLOYING, status="RUNNING", replicas=(MIGRATING, UNPLACED)), "ready", None),
        (replace(DEPLOYING, status="RUNNING", target_num_replicas=0), "asleep", None),
        (
            replace(DEPLOYING, status="DEPLOY_FAILED", message=TRACEBACK),
            "failed",
            "there is no /x",
        ),
        (
            replace(DEPLOYING, status="DEPLOY_FAILED", message="Traceback:\nValueError: no"),
            "failed",
            "ValueError: no",
        ),
        (replace(DEPLOYING, status="DEPLOY_FAILED"), "failed", "Serve gives no reason"),
        (
            replace(DEPLOYING, status="DEPLOY_FAILED", message=TRACEBACK, replicas=(RUNNING,)),
            "ready",
            "what ran before goes on, for its update failed: there is no /x",
        ),
        (
            replace(
                DEPLOYING, status="UNHEALTHY", message="A check failed.", replicas=(LOADING,), cause="it died"
            ),
            "starting",
            "its group of ranks starts anew: it died",
        ),
        (
            replace(DEPLOYING, message=TRACEBACK, replicas=(LOADING,), cause="it died"),
            "starting",
            "its group of ranks starts anew: it died; then there is no /x",
        ),
        (replace(DEPLOYING, status="DELETING", replicas=(RUNNING,)), "stopping", "it is being removed"),
    ],
)
def test_status_and_reason(view: ApplicationView, status: str, reason: str | None) -> None:
    state = read(view)
    assert (state.id, state.status, state.reason) == (VersionId("m", "1"), status, reason)


def test_a_replica_that_finds_no_node_says_what_is_missing() -> None:
    required = {"CPU": 4.0, "memory": 2.5 * 1024**3, "GPU": 0.0}
    view = replace(DEPLOYING, replicas=(UNPLACED,), required_resources=required)
    state = read(view, CPU=1.5, memory=1024.0**3)
    assert state.status == "waiting"
    assert state.reason == (
        "it cannot be scheduled: it needs 4 CPUs and 2.5 GiB of memory; "
        "the largest free on one node is 1.5 CPUs and 1.0 GiB of memory"
    )


def test_a_slow_start_is_not_taken_for_missing_resources() -> None:
    view = replace(DEPLOYING, replicas=(UNPLACED,), required_resources={"CPU": 1.0})
    assert read(view, CPU=1.0).status == "starting"
    old = replace(UNPLACED, started_unix_s=NOW - LONG_PLACEMENT_S - 1)
    assert read(replace(view, replicas=(old,)), CPU=1.0).status == "waiting"


def test_without_knowing_what_is_free_the_reason_is_what_is_needed() -> None:
    """As ``stowage status`` reads it; the longer wait holds, for the resources may well be there."""
    view = replace(DEPLOYING, replicas=(UNPLACED,), required_resources={"CPU": 4.0})
    assert read_status(view, None, NOW)[0] == "starting"
    waiting = read_status(view, None, UNPLACED.started_unix_s + LONG_PLACEMENT_S + 0.1)
    assert waiting == ("waiting", "it cannot be scheduled: it needs 4 CPUs")


def test_the_plan_s_bytes_stand_for_a_gpu_that_no_node_has() -> None:
    card = ModelCard(VersionId("m", "1"), Task.GENERATE, "transformers", 0, planned_bytes=6 * 1024**3)
    view = replace(DEPLOYING, replicas=(UNPLACED,), required_resources={"GPU": 1.0}, card=card)
    assert read(view, CPU=2.0).reason == (
        "it cannot be scheduled: it needs 6.0 GiB of GPU memory; the largest free on one node is 0 B of GPU memory"
    )


def test_of_a_group_the_rank_is_named_that_has_no_node() -> None:
    bundles = Bundles(({"CPU": 2.0}, {"CPU": 3.0}), "PACK")
    view = replace(DEPLOYING, replicas=(UNPLACED,), required_resources={"CPU": 2.0}, bundles=bundles)
    assert read(view, CPU=4.0).reason == (
        "it cannot be scheduled: rank 1 of 2 finds no room beside rank 0: "
        "it needs 3 CPUs; the largest free on one node is 2 CPUs"
    )
    assert read(view, CPU=5.0).status == "starting"


def test_only_nodes_that_it_may_be_placed_on_count() -> None:
    view = replace(
        DEPLOYING, replicas=(UNPLACED,), required_resources={"CPU": 1.0}, selectors=({"disk": "in(a,b)"},)
    )
    nodes = [FreeNode({"CPU": 8.0}, labels={"disk": "c"}), FreeNode({"CPU": 0.5}, labels={"disk": "b"})]
    (state,) = read_states([view], nodes, NOW)
    assert state.reason == (
        "it cannot be scheduled: it needs 1 CPU; the largest free on one node is 0.5 CPUs"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("replicas", "waits"), [((UNPLACED,), True), ((RUNNING, JUST_ASKED_FOR), True), ((RUNNING, LOADING), False)]
)
def test_what_is_free_is_asked_only_for_one_that_waits(replicas: tuple[ReplicaView, ...], waits: bool) -> None:
    assert replace(DEPLOYING, replicas=replicas).waits_for_a_node is waits


def test_applications_that_are_no_model_version_are_left_out() -> None:
    names = ["router", "b@2", "not ours@1", "b@1", "a@1"]
    states = read_states([replace(DEPLOYING, name=name) for name in names], [], NOW)
    assert [str(state.id) for state in states] == ["a@1", "b@1", "b@2"]


@given(VIEWS.filter(lambda view: view.name != "router"))
def test_what_is_not_ready_has_a_reason(view: ApplicationView) -> None:
    state = read(view)
    assert state.ready == (state.status in ("ready", "asleep"))
    assert state.ready or state.reason is not None


def test_every_model_of_a_pool_is_as_ready_as_the_pool() -> None:
    pooled = {VersionId("b", "1"): None, VersionId("a", "2"): None}
    running = ApplicationView("pool-small", "RUNNING", "", 1, (RUNNING,), pooled=pooled)
    assert read_states([running], [], NOW) == (
        ModelState(VersionId("a", "2"), True, "ready", None, None, "pool-small", 1, 1),
        ModelState(VersionId("b", "1"), True, "ready", None, None, "pool-small", 1, 1),
    )
    failed = replace(running, status="DEPLOY_FAILED", message=TRACEBACK, replicas=())
    assert {(state.status, state.reason) for state in read_states([failed], [], NOW)} == {
        ("failed", "there is no /x")
    }
