"""What the leader of a group writes down while it is there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from deployments.group.record import FailureKind, GroupFailure, GroupRecords
from deployments.group_diary import Diary, is_asked_to_end
from deployments.metrics.group import GroupMetrics
from deployments.metrics.replica import Replica
from deployments.routing.serve_details import ServeDetails
from tests.unit.serve_details import application, details

APP = "m@1"
LONG_S = 3600.0


@dataclass
class Scene:
    """Groups of one application, of which Serve runs some and stops some. ``end`` ends the diaries' threads."""

    there: set[str] = field(default_factory=set)
    stopped: set[str] = field(default_factory=set)
    diaries: list[Diary] = field(default_factory=list)
    records: GroupRecords = field(default_factory=lambda: GroupRecords(APP))

    def diary(self, replica: str) -> Diary:
        """Of a group that Serve runs."""
        self.there.add(replica)
        metrics = GroupMetrics(Replica(APP, replica))
        diary = Diary(
            replica, self.records, metrics, self.there.__contains__, lambda: replica in self.stopped, LONG_S
        )
        self.diaries.append(diary)
        return diary

    def end(self) -> None:
        for diary in self.diaries:
            diary.end()


@pytest.fixture
def scene(group_store: dict[bytes, bytes]) -> Iterator[Scene]:
    made = Scene()
    yield made
    made.end()


def test_a_group_that_is_killed_after_it_was_asked_to_end_is_no_cause_of_the_next(scene: Scene) -> None:
    old = scene.diary("old")
    old.begin()
    old.serve([])
    scene.stopped.add("old")
    old.look()
    scene.there.remove("old")

    assert scene.diary("new").begin() is None
    assert not scene.records.counts()


def test_a_group_that_is_killed_unasked_is_the_cause_of_the_next(scene: Scene) -> None:
    old, sibling = scene.diary("old"), scene.diary("sibling")
    for diary in (old, sibling):
        diary.begin()
        diary.serve([])
        diary.look()
    scene.there.remove("old")

    before = scene.diary("new").begin()

    assert before is not None
    assert "without a word" in before.cause
    assert scene.records.counts() == {FailureKind.DIED: 1}


def test_what_has_failed_stays_counted_by_those_that_go_on(
    scene: Scene, told: list[tuple[float, dict[str, str]]]
) -> None:
    first, second = scene.diary("first"), scene.diary("second")
    first.begin()
    second.begin()
    second.fail(GroupFailure(FailureKind.DIED, "rank 1: its process is gone", 1.0))
    told.clear()

    first.look()

    assert [value for value, labels in told if labels.get("kind") == "died"] == [1]


def test_a_group_that_has_ended_in_order_writes_nothing_more(
    scene: Scene, group_store: dict[bytes, bytes]
) -> None:
    diary = scene.diary("a")
    diary.begin()
    diary.serve([])
    diary.end()
    scene.stopped.add("a")

    diary.look()

    assert not group_store


@pytest.mark.usefixtures("group_store")
def test_it_is_kept_up_though_serve_cannot_always_be_asked() -> None:
    asked = threading.Semaphore(0)

    def is_asked() -> bool:
        asked.release()
        raise ConnectionError("the controller is gone")

    records = GroupRecords(APP)
    diary = Diary("a", records, GroupMetrics(Replica(APP, "a")), lambda _: True, is_asked, period_s=0.01)
    diary.begin()

    assert all(asked.acquire(timeout=10) for _ in range(3))
    diary.end()


@pytest.mark.parametrize(
    ("status", "state", "is_asked"),
    [
        ("RUNNING", "RUNNING", False),
        ("DEPLOYING", "STARTING", False),
        ("DEPLOYING", "RUNNING", False),
        ("DEPLOYING", "STOPPING", True),
        ("RUNNING", "STOPPING", True),
        ("DELETING", "RUNNING", True),
    ],
)
def test_serve_says_whom_it_stops(status: str, state: str, *, is_asked: bool) -> None:
    reply = details(application(APP, status, ("RUNNING", state)))
    (view,) = ServeDetails.model_validate_json(reply).views()

    assert is_asked_to_end(view, "r1") is is_asked
    assert is_asked_to_end(view, "r0") is (status == "DELETING")


def test_an_application_that_serve_does_not_know_is_not_asked_to_end() -> None:
    assert not is_asked_to_end(None, "r0")
