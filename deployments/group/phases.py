"""A phase of a group's start: all ranks do the same at the same time, and the first that cannot is named."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

import ray
from ray.exceptions import RayError

from deployments.group.vitals import pulses_of
from deployments.group.workers import Pulses, Worker, group_error
from models.parallel.bounded import start
from models.parallel.pulse import Pulse
from models.parallel.stall import Stall, StallWatch

T = TypeVar("T")

_POLL_S = 0.02


class Phase(Generic[T]):
    """``ask`` is asked of every worker's actor, ``own`` done here on a thread of its own; both begin at once.

    When rank 0 fails because another one has, that one may take ``grace_s`` to say why.
    """

    def __init__(
        self,
        workers: Sequence[Worker],
        ask: Callable[[Any], ray.ObjectRef[T]],
        own: Callable[[], T],
        grace_s: float = 3.0,
    ) -> None:
        self._grace_s = grace_s
        self._own: Future[T] = start(own)
        self._asked = {worker: ask(worker.actor) for worker in workers}

    def wait(self, within_s: float) -> bool:
        """Whether all are done. Raises what the first to fail raises, a worker by its name."""
        deadline = time.monotonic() + within_s
        while True:
            pending = self._pending()
            if self._own.done() and (self._own.exception() or not pending):
                return self._conclude()
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_S)

    def results(self) -> dict[int, T]:
        """By rank, of those that are done."""
        pending = self._pending()
        done = {worker.rank: ray.get(ref) for worker, ref in self._asked.items() if worker not in pending}
        return {0: self._own.result(), **done} if self._own.done() else done

    def _conclude(self) -> bool:
        """Rank 0 is done, and so are all others unless it has failed."""
        deadline = time.monotonic() + self._grace_s
        while self._own.exception() and self._pending() and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        self._own.result()
        return True

    def _pending(self) -> list[Worker]:
        """The workers that are not done; the error of one that has failed."""
        refs = list(self._asked.values())
        done, _ = ray.wait(refs, num_returns=len(refs), timeout=0) if refs else ([], [])
        for worker, ref in self._asked.items():
            if ref in done:
                _raise_failure(worker, ref)
        return [worker for worker, ref in self._asked.items() if ref not in done]


class Patience:
    """Waits for phases of unknown length: a rank whose pulse beats is waited for."""

    def __init__(self, workers: Sequence[Worker], own: Callable[[], Pulse], period_s: float = 1.0) -> None:
        self._pulses = Pulses(workers)
        self._own = own
        self._period_s = period_s

    def wait_for(self, phase: Phase[T], stall: StallWatch) -> dict[int, T]:
        """What each rank gives. GroupError when none gets on any more, or when one fails."""
        found = self.watch(phase, stall)
        if found is not None:
            raise found.error()
        return phase.results()

    def watch(self, phase: Phase[T], stall: StallWatch) -> Stall | None:
        """None when all are done; else how those were that were not, when none got on any more.

        Raises what the first to fail raises.
        """
        while not phase.wait(self._period_s):
            pulses = {0: self._own(), **pulses_of(self._pulses.feel(self._period_s))}
            found = stall.look(pulses, in_flight=True)
            if found is not None:
                return found
        return None


def _raise_failure(worker: Worker, ref: ray.ObjectRef[Any]) -> None:
    try:
        ray.get(ref)
    except RayError as error:
        raise group_error(worker, error) from error
