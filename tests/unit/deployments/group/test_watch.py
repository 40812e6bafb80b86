"""What a watch makes of what it sees. Workers are fakes here; the integration tests kill and stop real ones."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import cast

from deployments.group.record import FailureKind, GroupFailure
from deployments.group.vitals import Vitals
from deployments.group.watch import GroupWatch
from deployments.group.workers import Pulses, Runs
from models.errors import EngineError, OverloadedError
from models.parallel.pulse import Pulse
from models.parallel.stall import StallWatch

STALL_S = 10.0
DIED = GroupFailure(FailureKind.DIED, "rank 1 on node n: its process is gone", 0.0)


@dataclass
class FakeRuns:
    """Workers that have ended, or not."""

    ended: bool = False
    found: GroupFailure | None = None

    def wait_for_one(self, within_s: float) -> bool:
        return self.ended

    def wait_for_all(self, within_s: float) -> bool:
        return self.ended

    def failure(self) -> GroupFailure | None:
        return self.found


@dataclass
class FakePulses:
    answers: dict[int, Vitals | None]

    def name(self, rank: int) -> str:
        return f"rank {rank} on node n"

    def feel(self, within_s: float) -> dict[int, Vitals | None]:
        return self.answers


@dataclass
class FakeLeader:
    error: EngineError | None = None
    busy: bool = True

    def vitals(self) -> Vitals:
        return Vitals(Pulse(1, "waits for hidden states", (1,)))

    def is_busy(self) -> bool:
        return self.busy

    def check(self) -> None:
        if self.error is not None:
            raise self.error


@dataclass
class Scene:
    """A watch, what it looks at, and the time."""

    runs: FakeRuns = field(default_factory=FakeRuns)
    leader: FakeLeader = field(default_factory=FakeLeader)
    pulses: FakePulses = field(default_factory=lambda: FakePulses({1: Vitals(Pulse(5, "computes layer 3"))}))
    now_s: float = 0.0

    def __post_init__(self) -> None:
        self.failures: list[GroupFailure] = []
        self.failed = threading.Event()
        stall = StallWatch(STALL_S, lambda: self.now_s)
        runs, pulses = cast("Runs", self.runs), cast("Pulses", self.pulses)
        self.watch = GroupWatch(runs, pulses, stall, self.leader, self._fail)

    def _fail(self, failure: GroupFailure) -> None:
        self.failures.append(failure)
        self.failed.set()


def test_a_healthy_group_is_left_alone() -> None:
    scene = Scene()

    assert scene.watch.look() is None
    assert scene.watch.refusal() is None


def test_a_worker_that_ended_is_the_cause() -> None:
    scene = Scene(runs=FakeRuns(ended=True, found=DIED))

    assert scene.watch.look() is DIED


def test_what_the_leader_meets_is_the_cause_only_where_no_worker_tells_more() -> None:
    broken = EngineError("the connection was closed")

    found = Scene(leader=FakeLeader(error=broken)).watch.look()
    assert found is not None
    assert (found.kind, found.cause) == (FailureKind.ERROR, "rank 0: the connection was closed")
    assert Scene(runs=FakeRuns(found=DIED), leader=FakeLeader(error=broken)).watch.look() is DIED


def test_a_worker_that_is_silent_when_the_leader_fails_is_the_cause() -> None:
    broken = EngineError("Connection closed by peer")

    found = Scene(leader=FakeLeader(error=broken), pulses=FakePulses({1: None})).watch.look()

    assert found is not None
    assert found.kind is FailureKind.DIED
    assert found.cause.startswith("rank 1 on node n does not answer; rank 0: Connection closed")


def test_a_leader_that_ran_out_of_memory_is_told_apart() -> None:
    error = EngineError("the loop has ended")
    error.__cause__ = MemoryError()

    found = Scene(leader=FakeLeader(error=error)).watch.look()

    assert found is not None
    assert found.kind is FailureKind.OUT_OF_MEMORY


def test_workers_that_end_in_order_under_a_group_that_serves_are_a_failure() -> None:
    found = Scene(runs=FakeRuns(ended=True)).watch.look()

    assert found is not None
    assert "closed while the group served" in found.cause


def test_a_rank_that_does_not_answer_is_a_stall_once_nothing_moves() -> None:
    scene = Scene()
    assert scene.watch.look() is None
    scene.pulses.answers = {1: None}
    scene.now_s = STALL_S + 1

    found = scene.watch.look()

    assert found is not None
    assert found.kind is FailureKind.STALLED
    assert "rank 1 holds up the group" in found.cause


def test_a_group_without_work_does_not_stall() -> None:
    scene = Scene(leader=FakeLeader(busy=False))
    scene.watch.look()
    scene.now_s = 10 * STALL_S

    assert scene.watch.look() is None


def test_a_rank_over_its_budget_sheds_for_all_or_ends_all() -> None:
    refusal = OverloadedError("rank 1 is over its budget")
    shedding = Scene(pulses=FakePulses({1: Vitals(Pulse(5, "waits"), refusal=refusal)}))
    ending = Scene(pulses=FakePulses({1: Vitals(Pulse(5, "waits"), fault="rank 1 takes too much")}))

    assert shedding.watch.look() is None
    assert shedding.watch.refusal() is refusal
    found = ending.watch.look()
    assert found is not None
    assert (found.kind, found.cause) == (FailureKind.OVER_BUDGET, "rank 1 takes too much")


def test_the_first_failure_is_told_once() -> None:
    scene = Scene(runs=FakeRuns(ended=True, found=DIED))

    scene.watch.start()

    assert scene.failed.wait(10)
    assert scene.failures == [DIED]


def test_a_watch_that_fails_itself_ends_the_group() -> None:
    scene = Scene()
    scene.leader.is_busy = _broken  # type: ignore[method-assign]

    scene.watch.start()

    assert scene.failed.wait(10)
    assert "Ray is gone" in scene.failures[0].cause


def _broken() -> bool:
    raise ConnectionError("Ray is gone")
