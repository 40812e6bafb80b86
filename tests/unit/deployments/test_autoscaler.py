"""The autoscaler of Serve's controller over a store in memory: what it asks, waits for, writes and survives."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from deployments.autoscaler import Autoscaler
from deployments.scaling.decision import Decision
from deployments.scaling.demand import RouterDemand, VersionDemand, dump_demand
from deployments.scaling.policy_arguments import PolicyArguments
from deployments.scaling.scaler import Seen
from deployments.scaling.settings import Kind, ScalingSettings
from tests.unit.deployments.clocks import Clock

APP = "m@1"
SETTINGS = ScalingSettings(Kind.GENERATION, 0, 4, max_num_seqs=4, idle_s=60, down_window_s=10)
ARGUMENTS: Mapping[str, Any] = PolicyArguments(SETTINGS, 20).dump()


@dataclass
class Kv:
    """The store. Fails with ``error`` while there is one."""

    told: dict[str, bytes] = field(default_factory=dict)
    latest: dict[str, bytes] = field(default_factory=dict)
    changes: dict[str, bytes] = field(default_factory=dict)
    num_written: int = 0
    error: Exception | None = None

    def demands(self) -> dict[str, bytes]:
        if self.error is not None:
            raise self.error
        return dict(self.told)

    def drop_demand(self, router: str) -> None:
        del self.told[router]

    def read(self, application: str) -> tuple[bytes | None, bytes | None]:
        return self.latest.get(application), self.changes.get(application)

    def put_latest(self, application: str, value: bytes) -> None:
        self.num_written += 1
        self.latest[application] = value

    def put_changes(self, application: str, value: bytes) -> None:
        self.changes[application] = value

    def applications(self) -> set[str]:
        return set(self.latest)

    def drop(self, application: str) -> None:
        self.latest.pop(application, None)
        self.changes.pop(application, None)


@dataclass
class Heard:
    """Metrics."""

    decisions: Mapping[str, Decision] = field(default_factory=dict)
    counted: list[tuple[str, str]] = field(default_factory=list)

    def tell(self, decisions: Mapping[str, Decision]) -> None:
        self.decisions = decisions

    def count(self, application: str, cause: str) -> None:
        self.counted.append((application, cause))


class Rig:
    """A controller: Serve does what is decided, and replicas are up at once."""

    def __init__(self, kv: Kv | None = None, clock: Clock | None = None) -> None:
        self.kv = kv or Kv()
        self.clock = clock or Clock()
        self.heard = Heard()
        self.autoscaler = Autoscaler(self.kv, self.heard, self.clock, self.clock)
        self.current = 0
        self.arguments = ARGUMENTS
        self.error: Exception | None = None
        self.num_looks = 0
        self.beat = 0

    def tell(self, **demand: float) -> None:
        self.beat += 1
        versions = {APP: VersionDemand(**demand)} if demand else {}  # type: ignore[arg-type]
        self.kv.told["router"] = dump_demand(RouterDemand(self.beat, versions))

    def ask(self) -> int:
        return self.autoscaler.target(APP, self.arguments, self.current, self._see)

    def tick(self, seconds: float = 0.0) -> int:
        """The thread has its turn, and then Serve asks."""
        self.clock.now += seconds
        self.autoscaler.turn()
        self.current = self.ask()
        return self.current

    def _see(self) -> Seen:
        self.num_looks += 1
        if self.error is not None:
            raise self.error
        return Seen(self.current, self.current, 0, 4)


@pytest.fixture
def rig() -> Rig:
    made = Rig()
    made.ask()
    return made


def test_until_it_is_known_what_was_before_all_stays(rig: Rig) -> None:
    rig.current = 3
    assert (rig.ask(), rig.num_looks) == (3, 0)


def test_what_waits_in_a_router_wakes_a_version(rig: Rig) -> None:
    rig.tell()
    assert rig.tick() == 0
    rig.tell(num_waiting=9, num_waking=9, num_arrived=9)
    assert rig.tick(0.5) > 1
    assert rig.heard.counted == [(APP, "load")]


def test_serve_asks_ten_times_a_second_and_it_looks_once(rig: Rig) -> None:
    rig.tell(num_under_way=1, num_arrived=1)
    rig.tick()
    for _ in range(20):
        rig.clock.now += 0.1
        assert rig.ask() == 1
    assert rig.num_looks <= 4


def test_a_sleeping_version_that_nobody_asks_for_is_looked_at_seldom(rig: Rig) -> None:
    rig.tell()
    for _ in range(100):
        rig.tick(0.1)
    assert rig.num_looks <= 3


def test_its_record_says_what_was_decided_and_by_what(rig: Rig) -> None:
    rig.tell(num_waiting=1, num_arrived=1)
    rig.tick()
    rig.tick(1)
    latest, changes = json.loads(rig.kv.latest[APP]), json.loads(rig.kv.changes[APP])
    assert latest["decision"]["target"] == 1
    assert [change["after"] for change in changes["changes"]] == [1]
    assert rig.heard.decisions[APP].target == 1


def test_it_writes_seldom_while_nothing_is_new(rig: Rig) -> None:
    rig.tell()
    for _ in range(240):
        rig.tick(0.5)
        rig.tell()
    assert rig.kv.num_written <= 7


def test_a_controller_that_is_killed_changes_nothing(rig: Rig) -> None:
    rig.tell(num_waiting=9, num_arrived=9)
    target = rig.tick()
    rig.tick(1)
    following = Rig(rig.kv, rig.clock)
    following.current = target
    following.beat = rig.beat
    following.ask()
    for _ in range(5):
        following.tell(num_waiting=9, num_arrived=9)
        assert following.tick(1) == target
    assert following.heard.counted == []
    assert len(json.loads(rig.kv.changes[APP])["changes"]) == 1


def test_what_is_broken_leaves_the_replicas_and_is_told_once(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.tell(num_waiting=9, num_arrived=9)
    rig.error = KeyError("broken")
    rig.current = 2
    with caplog.at_level(logging.INFO, "ray.serve"):
        for _ in range(50):
            assert rig.tick(1) == 2
        assert caplog.messages == ["m@1 keeps the replicas that it has: KeyError('broken')"]
        assert json.loads(rig.kv.latest[APP])["failure"] == "KeyError('broken')"
        rig.error = None
        rig.tell(num_waiting=9, num_arrived=9)
        assert rig.tick(1) > 2
    assert "m@1 is scaled again." in caplog.messages


def test_arguments_of_another_release_leave_the_replicas(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    made = Rig()
    made.arguments, made.current = {"settings": {"new": 1}}, 2
    with caplog.at_level(logging.ERROR, "ray.serve"):
        for _ in range(5):
            assert made.tick(1) == 2
    assert len(caplog.messages) == 1


def test_a_store_that_is_away_leaves_what_is_known_until_that_is_old(rig: Rig) -> None:
    rig.tell(num_waiting=9, num_arrived=9)
    target = rig.tick()
    rig.tick()
    rig.kv.error = ConnectionError("away")
    with pytest.raises(ConnectionError):
        rig.tick()
    for _ in range(30):
        rig.clock.now += 1
        assert rig.ask() == target
    assert json.loads(rig.kv.latest[APP])["decision"]["target"] == target


def test_other_settings_hold_at_once_and_nothing_is_forgotten(rig: Rig) -> None:
    rig.tell(num_waiting=9, num_arrived=9)
    rig.tick()
    rig.arguments = PolicyArguments(ScalingSettings(Kind.GENERATION, 0, 8, max_num_seqs=4, max_step=1), 20).dump()
    rig.ask()
    rig.tick(1)
    latest = json.loads(rig.kv.latest[APP])
    assert latest["settings"]["max_step"] == 1
    assert len(json.loads(rig.kv.changes[APP])["changes"]) == 1


def test_a_router_that_died_is_forgotten(rig: Rig) -> None:
    rig.tell(num_waiting=9, num_arrived=9)
    rig.tick()
    rig.tick(61)
    assert rig.kv.told == {}


def test_versions_that_are_gone_are_forgotten_also_those_of_before(rig: Rig) -> None:
    rig.kv.latest["old@1"] = b"{}"
    rig.tell()
    rig.tick()
    rig.clock.now += 3601
    rig.autoscaler.turn()
    assert rig.kv.latest == {}
