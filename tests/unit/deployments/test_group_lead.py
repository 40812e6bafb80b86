"""The end of a group in order: whatever hinders it, the next one is not told that it has failed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import cast

import pytest

from deployments import group_lead
from deployments.group.record import GroupRecords
from deployments.group_diary import Diary
from deployments.group_lead import Group
from deployments.metrics.group import GroupMetrics, RankPlace
from deployments.metrics.replica import Replica
from deployments.rank_process import RankProcess
from models.engines.base import GroupLeader
from models.parallel.layout import Degree, GroupLayout
from models.parallel.rendezvous import MeetingPoint

APP = "m@1"
WHOLE = GroupLayout(Degree(1, 1), (2,))


class Idle:
    """What looks after the group, or works in it, and finds nothing."""

    def __init__(self, *_: object) -> None:
        self.is_closed = False

    def start(self) -> None:
        """Nothing to look at."""

    def close(self) -> None:
        self.is_closed = True

    def wait_for_all(self, within_s: float) -> bool:
        return True


class Broken(Idle):
    """An engine that cannot be closed, and what was written of its group when that was tried."""

    def __init__(self, written: Mapping[bytes, bytes]) -> None:
        super().__init__()
        self._written = written
        self.found: Mapping[bytes, bytes] | None = None

    def close(self) -> None:
        self.found = dict(self._written)
        raise RuntimeError("the loop does not end")


@pytest.fixture
def point() -> Iterator[Idle]:
    made = Idle()
    yield made
    assert made.is_closed


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch, point: Idle, group_store: dict[bytes, bytes]) -> Callable[[Idle], Group]:
    """A group of rank 0 alone, of which the records know."""
    monkeypatch.setattr(group_lead, "Runs", Idle)
    monkeypatch.setattr(group_lead, "GroupWatch", Idle)
    process = SimpleNamespace(watch_memory=lambda *_: Idle(), place=RankPlace(WHOLE.shard(0), "n"))
    diary = Diary("a", GroupRecords(APP), GroupMetrics(Replica(APP, "a")), lambda _: True, lambda: False)
    monkeypatch.setattr(group_lead, "this_replica", lambda: Replica(APP, "a"))

    def make_group(engine: Idle) -> Group:
        diary.begin()
        group = Group(
            cast("RankProcess", process),
            cast("GroupLeader", engine),
            cast("MeetingPoint", point),
            (),
            1.0,
            diary,
        )
        assert group_store
        return group

    return make_group


def test_a_group_that_cannot_be_left_has_ended_in_order(
    make: Callable[[Idle], Group], group_store: dict[bytes, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise RuntimeError("a peer is gone")

    monkeypatch.setattr(group_lead, "leave_group", refuse)
    make(Idle()).close()

    assert not group_store


def test_a_group_whose_leaving_hangs_ends_all_the_same(
    make: Callable[[Idle], Group], group_store: dict[bytes, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    never = threading.Event()
    monkeypatch.setattr(group_lead, "leave_group", never.wait)
    monkeypatch.setattr(group_lead, "_LEAVE_S", 0.01)
    make(Idle()).close()
    never.set()

    assert not group_store


def test_a_group_has_ended_in_order_before_its_engine_is_closed(
    make: Callable[[Idle], Group], group_store: dict[bytes, bytes]
) -> None:
    engine = Broken(group_store)
    with pytest.raises(RuntimeError, match="does not end"):
        make(engine).close()

    assert engine.found == {}
