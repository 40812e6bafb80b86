"""All ranks do the same at once. Ray is a fake here whose answers the tests give, and so are the processes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_futures
from queue import SimpleQueue
from typing import Any, cast

import pytest
import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

from deployments.group.phases import Patience, Phase
from deployments.group.vitals import Vitals
from deployments.group.workers import Worker
from models.errors import ChecksumError, EngineError, GroupError
from models.parallel.pulse import ProgressCounter, Pulse
from models.parallel.stall import StallWatch

PATIENCE_S = 10.0


class Remote:
    """A method of an actor."""

    def __init__(self, call: Callable[[], Future[Any]]) -> None:
        self.remote = call


class Process:
    """A worker's actor: its answer is the test's to give; how it is, is told at once unless it is frozen."""

    def __init__(self) -> None:
        self.answer: Future[str] = Future()
        self.counter = ProgressCounter()
        self.is_frozen = False
        self.work = Remote(lambda: self.answer)
        self.feel_pulse = Remote(self._feel)

    def _feel(self) -> Future[Vitals]:
        felt: Future[Vitals] = Future()
        if not self.is_frozen:
            felt.set_result(Vitals(self.counter.snapshot()))
        return felt


class Clock:
    """Each look at it is 4 s after the last one."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 4
        return self.now_s


@pytest.fixture(autouse=True)
def answers_of_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(
        refs: Sequence[Future[Any]], *, num_returns: int, timeout: float
    ) -> tuple[list[Future[Any]], list[Future[Any]]]:
        assert 0 < num_returns <= len(refs), "as Ray wants it"
        wait_for_futures(refs, timeout)
        return [ref for ref in refs if ref.done()], [ref for ref in refs if not ref.done()]

    def get(ref: Future[Any], timeout: float | None = None) -> object:
        try:
            return ref.result(timeout)
        except TimeoutError as error:
            raise GetTimeoutError from error

    monkeypatch.setattr(ray, "wait", wait)
    monkeypatch.setattr(ray, "get", get)


class Scene:
    """Three ranks in a phase; ``own`` is what rank 0 does."""

    def __init__(self) -> None:
        self.processes = [Process(), Process()]
        self.workers = [Worker(rank, process, node="b") for rank, process in enumerate(self.processes, start=1)]
        self.own: Future[str] = Future()
        self.threads: SimpleQueue[threading.Thread] = SimpleQueue()
        self.pulse = ProgressCounter()
        self.patience = Patience(self.workers, self._own_pulse, period_s=0)
        self.looks = 0
        self.each_look: Callable[[int], object] = lambda _: None

    def phase(self, num_workers: int = 2) -> Phase[str]:
        ask = cast("Callable[[Any], ray.ObjectRef[str]]", lambda process: process.work.remote())
        phase = Phase(self.workers[:num_workers], ask, self._work, grace_s=0)
        if self.own.done():
            self.threads.get().join()
        return phase

    def watch(self) -> StallWatch:
        return StallWatch(PATIENCE_S, Clock())

    def _work(self) -> str:
        self.threads.put(threading.current_thread())
        return self.own.result()

    def _own_pulse(self) -> Pulse:
        self.looks += 1
        self.each_look(self.looks)
        return self.pulse.snapshot()


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    for future in (made.own, *(process.answer for process in made.processes)):
        future.cancel()


def task_error(cause: Exception) -> RayTaskError:
    return RayTaskError("work", "Traceback ...", cause)  # type: ignore[no-untyped-call]


def test_what_all_ranks_give_is_told_by_rank(scene: Scene) -> None:
    scene.own.set_result("zero")
    for process, word in zip(scene.processes, ["one", "two"], strict=True):
        process.answer.set_result(word)
    assert scene.patience.wait_for(scene.phase(), scene.watch()) == {0: "zero", 1: "one", 2: "two"}


def test_a_leader_without_workers_waits_for_itself_alone(scene: Scene) -> None:
    phase = scene.phase(num_workers=0)
    assert not phase.wait(0)
    scene.own.set_result("zero")
    assert phase.wait(10)
    assert phase.results() == {0: "zero"}


def test_until_the_time_is_over_only_those_that_are_done_have_results(scene: Scene) -> None:
    scene.processes[1].answer.set_result("two")
    phase = scene.phase()
    assert not phase.wait(0.05)
    assert phase.results() == {2: "two"}


def test_the_first_worker_to_fail_is_named_and_nobody_else_waited_for(scene: Scene) -> None:
    scene.processes[1].answer.set_exception(task_error(ChecksumError("a file is damaged", remedy="fetch it")))
    with pytest.raises(ChecksumError) as caught:
        scene.patience.wait_for(scene.phase(), scene.watch())
    assert (caught.value.message, caught.value.remedy) == ("rank 2 on node b: a file is damaged", "fetch it")


def test_a_worker_that_dies_is_named(scene: Scene) -> None:
    scene.own.set_result("zero")
    scene.processes[0].answer.set_exception(RayActorError(error_msg="Worker exit detail: killed\n"))
    with pytest.raises(GroupError, match="rank 1 on node b: its process is gone: killed"):
        scene.patience.wait_for(scene.phase(), scene.watch())


def test_a_leader_that_fails_alone_raises_its_own_error(scene: Scene) -> None:
    scene.own.set_exception(EngineError("no memory"))
    with pytest.raises(EngineError, match="no memory"):
        scene.patience.wait_for(scene.phase(), scene.watch())


def test_when_a_worker_has_made_the_leader_fail_the_worker_is_named(scene: Scene) -> None:
    scene.own.set_exception(RuntimeError("Connection closed by peer"))
    scene.processes[0].answer.set_exception(RayActorError(error_msg="Worker exit detail: killed\n"))
    with pytest.raises(GroupError, match="rank 1 on node b: its process is gone"):
        scene.patience.wait_for(scene.phase(), scene.watch())


def test_ranks_that_get_on_with_nothing_are_named(scene: Scene) -> None:
    scene.own.set_result("zero")
    scene.processes[0].is_frozen = True
    with pytest.raises(GroupError, match=r"^rank 1 holds up the group, in which nothing has moved for 12 s"):
        scene.patience.wait_for(scene.phase(), scene.watch())


def test_those_that_have_done_their_part_are_kept_when_another_one_stalls(scene: Scene) -> None:
    """So that a report is judged, though another rank gives none."""
    scene.own.set_result("zero")
    scene.processes[0].is_frozen = True
    scene.processes[1].answer.set_result("two")
    phase = scene.phase()
    stall = scene.patience.watch(phase, scene.watch())
    assert stall is not None
    assert phase.results() == {0: "zero", 2: "two"}
    assert stall.state_of(1) == "does not answer"


def test_a_rank_that_moves_is_waited_for_however_long_it_takes(scene: Scene) -> None:
    """The others wait for it without moving, those that are done and one that is not."""
    slow = scene.processes[1]
    scene.own.set_result("zero")

    def look(number: int) -> None:
        slow.counter.advance(f"has {number} of 50 B")
        if number == 50:
            for process in scene.processes:
                process.answer.set_result("done")

    scene.each_look = look
    assert scene.patience.watch(scene.phase(), scene.watch()) is None
    assert scene.looks == 50


def test_patience_ends_once_the_last_one_has_stopped_moving(scene: Scene) -> None:
    scene.each_look = lambda number: scene.pulse.advance("hashing a file") if number <= 20 else None
    stall = scene.patience.watch(scene.phase(), scene.watch())
    assert stall is not None
    assert scene.looks == 23
    assert stall.state_of(0) == "hashing a file"
