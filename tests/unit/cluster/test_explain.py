"""``stowage explain`` against a router that is real but for its cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from deployments.api.app import build_app
from deployments.routing.states import ReplicaRange
from deployments.scaling.history import dump_changes, dump_latest
from deployments.scaling.load import ReplicaLoad, RouterLoad, TokenUse
from deployments.scaling.policy_arguments import PolicyArguments
from deployments.scaling.scaler import Scaler, Seen
from deployments.scaling.schedule import Window
from deployments.scaling.settings import Kind, ScalingSettings
from tests.unit.cluster.conftest import Stowage
from tests.unit.deployments.api.fake import FakeDataPlane
from tests.unit.deployments.api.live import SETTINGS, served
from tests.unit.deployments.live_models import state
from tests.unit.deployments.repository.fake import NOW, Rig

OURS = ReplicaRange(0, 4, "deployments.autoscaling:ModelPolicy", is_ours=True)
SCALING = ScalingSettings(
    Kind.GENERATION, 0, 4, max_num_seqs=4, idle_s=60, schedule=(Window(2, "08:00", "18:00", ("mon", "fri")),)
)


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.fixture
def url(rig: Rig) -> Iterator[str]:
    with served(build_app(FakeDataPlane(), SETTINGS, operators=rig.operators)) as address:
        yield f"http://{address}/"


def decided(rig: Rig, ago_s: float = 2.0) -> None:
    """m@1 was woken by three requests, and its replica now answers them while nine more wait."""
    scaler = Scaler(PolicyArguments(SCALING, 20), None)
    waking = RouterLoad(age_s=0, num_waiting=3, num_waking=3, oldest_wait_s=0.4)
    scaler.decide(Seen(0, 0, 0, 4), waking, NOW - ago_s - 10)
    scaler.decide(Seen(1, 0, 0, 4), waking, NOW - ago_s - 9)
    busy = ReplicaLoad("r1", 0, 4, 1, 4, tokens=TokenUse(900, 4096))
    routers = RouterLoad(age_s=0, num_under_way=5, num_waiting=4, oldest_wait_s=2.5, arrivals_per_s=1.5)
    scaler.decide(Seen(1, 1, 0, 4, (busy,)), routers, NOW - ago_s)
    latest = scaler.latest(NOW - ago_s)
    rig.decided["m@1"] = (dump_latest(latest), dump_changes(latest.kept))
    rig.cluster.live.states = (
        replace(state("m@1"), range=OURS, num_replicas=1, target_num_replicas=scaler.kept.expected or 0),
    )


def test_it_says_why_there_are_so_many_and_what_was_before(stowage: Stowage, url: str, rig: Rig) -> None:
    decided(rig)
    told = stowage("explain", "m", "--url", url)
    assert told.code == 0, told.err
    assert told.out.startswith("m@1 has 4 replicas, 1 of them ready; it is ready\n")
    for line in (
        "why         4: 4 requests running, 5 waiting and 1.5 a second coming want",
        "bound by    ",
        "next        ",
        "routers     4 requests wait, the oldest for 2.5 s; 5 under way; 1.5 a second come",
        "replica     r1: 4 of 4 places taken, 1 wait; 900 of 4,096 tokens in the KV cache",
        "cold start  9 s, by the last starts: 9 s",
        "bounds      0 to 4 replicas; the last one ends when idle for 60 s",
        "schedule    2 from 08:00 to 18:00 on mon, fri (UTC)",
        "1 -> 4",
        "0 -> 1",
    ):
        assert line in told.out


def test_machines_get_all_of_it(stowage: Stowage, url: str, rig: Rig) -> None:
    decided(rig)
    told = json.loads(stowage("explain", "m@1", "--url", url, "--json").out)
    assert told["replicas"] | {"policy": None} == {
        "id": "m@1", "status": "ready", "reason": None, "ready": 1, "target": 4, "low": 0, "high": 4,
        "policy": None, "is_ours": True, "pool": None, "num_ranks": 1,
    }  # fmt: skip
    assert (told["decides"], told["evaluated_at"], told["starts_s"]) == ("stowage", NOW - 2, [9])
    assert told["decision"]["load"]["routers"]["num_waiting"] == 4
    assert [change["inputs"]["routers"]["num_waiting"] for change in told["changes"]] == [3, 4]


def test_what_nobody_decides_is_said(stowage: Stowage, url: str, rig: Rig) -> None:
    divided = state("big@1")
    assert divided.card is not None
    rig.cluster.live.states = (
        replace(divided, num_replicas=2, target_num_replicas=2, card=replace(divided.card, num_ranks=3)),
        replace(state("rays@1"), range=ReplicaRange(1, 2, "ray.serve.x:y", is_ours=False)),
        replace(state("small@1"), pool="pool-small", num_replicas=1, target_num_replicas=1),
    )
    fixed = stowage("explain", "big", "--url", url).out
    assert fixed.startswith("big@1 has 2 replicas, each of 3 ranks; it is ready\n")
    assert "their number is fixed" in fixed
    assert "ray.serve.x:y decides, as its deployments block says" in stowage("explain", "rays", "--url", url).out
    assert "shares the replicas of pool-small" in stowage("explain", "small", "--url", url).out


def test_one_of_which_nothing_is_known_yet(stowage: Stowage, url: str, rig: Rig) -> None:
    rig.cluster.live.states = (replace(state("m@1", "asleep"), range=OURS),)
    told = stowage("explain", "m", "--url", url).out
    assert told.startswith("m@1 has 0 replicas; it is asleep\n")
    assert "Serve's controller has not told yet what it decides" in told


def test_a_controller_that_is_silent_is_told_of(stowage: Stowage, url: str, rig: Rig) -> None:
    decided(rig, ago_s=100)
    assert "Serve's controller has told nothing for 100 s" in stowage("explain", "m", "--url", url).out


def test_a_record_of_another_release_is_told_of(stowage: Stowage, url: str, rig: Rig) -> None:
    decided(rig)
    rig.decided["m@1"] = (b'{"release": 9}', None)
    told = stowage("explain", "m", "--url", url)
    assert (told.code, "was written by another release of Stowage" in told.err) == (1, True)


def test_a_model_that_is_not_there(stowage: Stowage, url: str, rig: Rig) -> None:
    decided(rig)
    told = stowage("explain", "n", "--url", url)
    assert (told.code, "'n' is not deployed" in told.err) == (1, True)


def test_a_router_that_is_too_old(stowage: Stowage) -> None:
    with served(build_app(FakeDataPlane(), SETTINGS)) as address:
        told = stowage("explain", "m", "--url", f"http://{address}")
    assert (told.code, "it is older than this command" in told.err) == (1, True)


def test_where_no_router_is(stowage: Stowage, closed_url: str) -> None:
    told = stowage("explain", "m", "--url", closed_url)
    assert (told.code, "give its URL with --url" in told.err) == (1, True)
