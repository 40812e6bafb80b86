"""Rollouts that several processes look after, on a real PostgreSQL server and on an SQLite file."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from deployments.audit.record import Attempt, Outcome
from deployments.routing.rollout import RolloutAction, RolloutPlan, RolloutState, active_weights
from deployments.state.database import Database
from deployments.state.rollout_counts import collect
from deployments.state.rollouts import Rollouts
from models.types import VersionId
from tests.integration.cluster import ROOT
from tests.integration.postgres import PostgresServer
from tests.unit.deployments.state.journals import request

OLD, NEW = VersionId("smol", "1"), VersionId("smol", "2")
STEPS = tuple(float(percent) for percent in range(10, 101, 10))
PLAN = RolloutPlan(steps=STEPS, hold_s=0, min_requests=5)
TICK = """
import sys, time
from deployments.state.database import Database
from deployments.state.rollouts import Rollouts
with Database.open(sys.argv[1]) as database:
    print("ready", flush=True)
    rollouts = Rollouts(database)
    while True:
        rollouts.tick(lambda version: True)
        time.sleep(0.005)
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/state.db"
    found: str = request.getfixturevalue("postgres_url")
    return found


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    with Database.open(url) as opened:
        yield opened


@pytest.fixture
def routers(database: Database, url: str) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that do what a router replica does each second, and far more often."""
    processes = [
        subprocess.Popen([sys.executable, "-c", TICK, url], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def serve(database: Database, outcome: str = "ok") -> None:
    """Five requests to each version, now; ``outcome`` is that of the new one."""
    records = [
        request(
            version=version,
            time=datetime.now(UTC),
            attempts=(Attempt(f"smol@{version}", ended, 1.0, "smol"),),
            outcome=Outcome.OK if ended == "ok" else Outcome.FAILED,
        )
        for version, ended in (("1", "ok"), ("2", outcome))
        for _ in range(5)
    ]
    with database.transaction() as connection:
        collect(connection, records)


def serve_until_over(database: Database, rollouts: Rollouts, outcome: str = "ok") -> None:
    deadline = time.monotonic() + 60
    while rollouts.find("smol").state is RolloutState.RUNNING:
        assert time.monotonic() < deadline
        serve(database, outcome)
        time.sleep(0.02)


def actions(rollouts: Rollouts) -> list[RolloutAction]:
    ((_, events),) = rollouts.history("smol")
    return [event.action for event in events]


def test_each_step_is_taken_once_whoever_dies(database: Database, routers: list[subprocess.Popen[str]]) -> None:
    rollouts = Rollouts(database)
    rollouts.start("smol", OLD, NEW, PLAN, "test")
    for process in routers[:2]:
        serve(database)
        time.sleep(0.1)
        process.kill()
    serve_until_over(database, rollouts)
    assert rollouts.find("smol").state is RolloutState.DONE
    ((_, events),) = rollouts.history("smol")
    assert [event.action for event in events] == [
        RolloutAction.START,
        *[RolloutAction.ADVANCE] * (len(STEPS) - 1),
        RolloutAction.FINISH,
    ]
    assert all(after.from_step == before.to_step for before, after in pairwise(events))
    assert all(event.numbers and event.numbers.new_requests >= 5 for event in events[1:])


def test_it_goes_back_once(database: Database, routers: list[subprocess.Popen[str]]) -> None:
    rollouts = Rollouts(database)
    rollouts.start("smol", OLD, NEW, PLAN.model_copy(update={"hold_s": 3600.0}), "test")
    serve_until_over(database, rollouts, "engine")
    time.sleep(0.2)
    assert actions(rollouts) == [RolloutAction.START, RolloutAction.ROLL_BACK]
    assert active_weights(rollouts.tick(lambda _: True)) == {"smol": {OLD: 100}}


def test_people_and_routers_do_not_get_in_each_others_way(
    database: Database, routers: list[subprocess.Popen[str]]
) -> None:
    rollouts = Rollouts(database)
    rollouts.start("smol", OLD, NEW, PLAN.model_copy(update={"hold_s": 3600.0}), "test")
    for _ in range(20):
        serve(database)
        rollouts.act("smol", RolloutAction.PAUSE, "test")
        rollouts.act("smol", RolloutAction.RESUME, "test")
    rollouts.act("smol", RolloutAction.ABORT, "test")
    rollouts.start("smol", OLD, NEW, PLAN, "test")
    serve_until_over(database, rollouts)
    first, second = rollouts.history("smol")
    assert [event.action for event in first[1][1:]] == [
        *[RolloutAction.PAUSE, RolloutAction.RESUME] * 20,
        RolloutAction.ABORT,
    ]
    assert second[0].state is RolloutState.DONE
    assert second[0].revision == len(second[1]) - 1


def test_a_rollout_outlives_the_database_server(postgres_server: PostgresServer, postgres_url: str) -> None:
    with Database.open(postgres_url, timeout_s=1) as database:
        rollouts = Rollouts(database)
        rollouts.start("smol", OLD, NEW, PLAN, "test")
        serve(database)
        assert active_weights(rollouts.tick(lambda _: True)) == {"smol": {OLD: 80, NEW: 20}}
        before = rollouts.find("smol")
        try:
            postgres_server.kill()
        finally:
            postgres_server.start()
        assert rollouts.find("smol") == before
        serve(database)
        assert active_weights(rollouts.tick(lambda _: True)) == {"smol": {OLD: 70, NEW: 30}}
