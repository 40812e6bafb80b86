"""Rollouts under traffic: a good version completes though everything restarts; bad ones go back by themselves."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from deployments.routing.rollout import RolloutAction, RolloutPlan, RolloutState
from deployments.state.database import Database
from deployments.state.rollout_rows import RolloutEvent
from deployments.state.rollouts import Rollouts
from models.types import VersionId
from tests.integration.cluster import Cluster, Config, eventually, free_port
from tests.integration.planted import REQUEST
from tests.integration.routers import Books, controller_pid, router_application

MODEL = "ship"
OLD = VersionId(MODEL, "1")
NUM_CALLERS = 6
PLAN = RolloutPlan(steps=(20, 50, 100), hold_s=3, max_error_rate=0.02, max_latency_ratio=1.5, min_requests=60)

pytestmark = pytest.mark.timeout(420)


def planted(version: str, **args: float) -> Config:
    return {
        "name": f"{MODEL}@{version}",
        "route_prefix": None,
        "import_path": "tests.integration.planted:build_planted",
        "args": {"model": MODEL, "version": version, **args},
    }


VERSIONS = [
    planted("1"),
    planted("good"),
    planted("failing", failure_share=0.2),
    planted("slow", delay_s=0.1),
]


class Traffic:
    """Callers that ask again and again until they are stopped, and count what they get."""

    def __init__(self, base_url: str) -> None:
        self.answers: Counter[str] = Counter()
        self._url = f"{base_url}/v2/models/{MODEL}/infer"
        self._stopped = threading.Event()
        self._callers = ThreadPoolExecutor(NUM_CALLERS)
        self._running = [self._callers.submit(self._call) for _ in range(NUM_CALLERS)]

    def stop(self) -> None:
        self._stopped.set()
        for caller in self._running:
            caller.result(timeout=60)
        self._callers.shutdown()

    def _call(self) -> None:
        with httpx.Client(timeout=30) as client:
            while not self._stopped.is_set():
                try:
                    reply = client.post(self._url, json=REQUEST)
                    answer = reply.json()["model_version"] if reply.is_success else str(reply.status_code)
                except httpx.TransportError:  # its router was killed
                    answer = "cut"
                self.answers[answer] += 1


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Books:
    folder = tmp_path_factory.mktemp("books")
    return Books(f"sqlite:///{folder}/state.db", folder / "audit")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, books: Books) -> Iterator[Cluster]:
    router = router_application(books, {}, num_replicas=2)
    config = {"http_options": {"host": "127.0.0.1", "port": free_port()}, "applications": [router]}
    cluster = Cluster(config, tmp_path_factory.mktemp("cluster"))
    try:
        cluster.wait_until_announced(120)
        cluster.deploy(config | {"applications": [router, *VERSIONS]})  # Stowage's own check knows no such builder
        for version in VERSIONS:
            cluster.wait_status(version["name"], "ready")
        yield cluster
    finally:
        cluster.interrupt()


@pytest.fixture
def rollouts(books: Books) -> Iterator[Rollouts]:
    with Database.open(books.url) as database:
        yield Rollouts(database)


@pytest.fixture
def traffic(cluster: Cluster) -> Iterator[Traffic]:
    traffic = Traffic(cluster.base_url)
    try:
        yield traffic
    finally:
        traffic.stop()


def wait_for_end(rollouts: Rollouts, state: RolloutState, timeout_s: float = 120) -> list[RolloutEvent]:
    """What happened to the newest rollout, once it is in this state."""

    def ended() -> list[RolloutEvent] | None:
        rollout, events = rollouts.history(MODEL)[-1]
        assert rollout.state in (RolloutState.RUNNING, state), [(each.action, each.why) for each in events]
        return events if rollout.state is state else None

    return eventually(ended, timeout_s, f"the rollout is {state}: {rollouts.history(MODEL)[-1]}")


@pytest.mark.parametrize(("version", "reason"), [("failing", "error"), ("slow", "latenc")])
def test_a_bad_version_goes_back_by_itself(
    rollouts: Rollouts, traffic: Traffic, version: str, reason: str
) -> None:
    rollouts.start(MODEL, OLD, VersionId(MODEL, version), PLAN, "test")
    events = wait_for_end(rollouts, RolloutState.ROLLED_BACK)
    assert events[-1].action is RolloutAction.ROLL_BACK
    assert reason in events[-1].why
    assert events[-1].numbers
    eventually(lambda: only_the_old_one_answers(traffic), 10, "requests go to the old version only")


def test_a_good_version_completes_though_all_routers_and_the_controller_are_killed(
    cluster: Cluster, rollouts: Rollouts, traffic: Traffic
) -> None:
    rollouts.start(MODEL, OLD, VersionId(MODEL, "good"), PLAN, "test")
    eventually(lambda: rollouts.find(MODEL).step == 1, 60, "the second step has begun")
    for pid in [*cluster.pids("router"), controller_pid(cluster)]:
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    events = wait_for_end(rollouts, RolloutState.DONE)
    assert [(event.action, event.to_step) for event in events] == [
        (RolloutAction.START, 0),
        (RolloutAction.ADVANCE, 1),
        (RolloutAction.ADVANCE, 2),
        (RolloutAction.FINISH, 2),
    ]
    assert all(event.numbers for event in events[1:])
    before = Counter(traffic.answers)
    eventually(lambda: (traffic.answers - before)["good"] > 20, 30, "the new version answers")
    assert (traffic.answers - before)["1"] <= NUM_CALLERS


def only_the_old_one_answers(traffic: Traffic) -> bool:
    before = Counter(traffic.answers)
    eventually(lambda: (traffic.answers - before).total() >= 30, 30, "there is traffic")
    return set(traffic.answers - before) == {"1"}
