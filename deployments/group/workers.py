"""The workers of a group, as the leader deals with them: what they are asked, and what their ends mean."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, OutOfMemoryError, RayActorError, RayError, RayTaskError

from deployments.group.record import FailureKind, GroupFailure, kind_of
from deployments.group.vitals import Vitals
from models.errors import GroupError, StowageError

_EXIT_DETAIL = re.compile(r"Worker exit detail: (.*?)(?:\. Some common causes include|\n|$)", re.DOTALL)
# The less sure a failure is to be the first of all, the later.
_ORDER = (FailureKind.OUT_OF_MEMORY, FailureKind.DIED, FailureKind.ERROR)


@dataclass(frozen=True, slots=True)
class Worker:
    """A rank's actor, and the node that it is on, as plans name it ("" before it has said so)."""

    rank: int
    actor: Any = field(compare=False)
    node: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"rank {self.rank} on node {self.node}" if self.node else f"rank {self.rank}"

    def end(self) -> None:
        """At once, whatever it does; idempotent."""
        ray.kill(self.actor, no_restart=True)


class Pulses:
    """Feels the pulse of all workers; one that has not answered yet is not asked again."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        self._workers = workers
        self._asked: dict[int, ray.ObjectRef[Vitals]] = {}

    def feel(self, within_s: float) -> dict[int, Vitals | None]:
        """By rank; None for one that did not answer, or that is gone."""
        for worker in self._workers:
            if worker.rank not in self._asked:
                self._asked[worker.rank] = worker.actor.feel_pulse.remote()
        asked = list(self._asked.values())
        ray.wait(asked, num_returns=len(asked), timeout=within_s)
        return {worker.rank: self._answer(worker.rank) for worker in self._workers}

    def name(self, rank: int) -> str:
        """Of a worker, with its node."""
        return next(str(worker) for worker in self._workers if worker.rank == rank)

    def _answer(self, rank: int) -> Vitals | None:
        try:
            answer: Vitals = ray.get(self._asked[rank], timeout=0)
        except GetTimeoutError:
            return None
        except RayError:
            del self._asked[rank]
            return None
        del self._asked[rank]
        return answer


class Runs:
    """What all workers do until the group ends."""

    def __init__(self, runs: Mapping[Worker, ray.ObjectRef[None]]) -> None:
        self._runs = runs

    def wait_for_one(self, within_s: float) -> bool:
        """Whether one has ended."""
        return bool(self._wait(1, within_s))

    def wait_for_all(self, within_s: float) -> bool:
        """Whether all have ended."""
        return len(self._wait(len(self._runs), within_s)) == len(self._runs)

    def failure(self) -> GroupFailure | None:
        """What ended the group, of all that those who have ended tell; None where they ended in order."""
        ended = self._wait(len(self._runs), 0)
        found = [_failure(worker, run) for worker, run in self._runs.items() if run in ended]
        return min(
            (failure for failure in found if failure), key=lambda each: _ORDER.index(each.kind), default=None
        )

    def _wait(self, number: int, within_s: float) -> list[ray.ObjectRef[None]]:
        ended, _ = ray.wait(list(self._runs.values()), num_returns=number, timeout=within_s)
        return ended


def _failure(worker: Worker, run: ray.ObjectRef[None]) -> GroupFailure | None:
    try:
        ray.get(run)
    except RayError as error:
        return failure_of(worker, error)
    return None


def failure_of(worker: Worker, error: RayError) -> GroupFailure:
    """In the words of the group: who, where, and what."""
    return GroupFailure(_kind_of(error), f"{worker}: {_cause_of(error)}", time.time())


def group_error(worker: Worker, error: RayError) -> StowageError:
    """The error for the end of a worker before the group served: its own, with its name."""
    own = error.cause if isinstance(error, RayTaskError) else None
    if isinstance(own, StowageError):
        return type(own)(f"{worker}: {own.message}", remedy=own.remedy)
    return GroupError(f"{worker}: {_cause_of(error)}", remedy="see the log of that rank's worker")


def _kind_of(error: RayError) -> FailureKind:
    if isinstance(error, OutOfMemoryError):
        return FailureKind.OUT_OF_MEMORY
    return kind_of(error.cause) if isinstance(error, RayTaskError) else FailureKind.DIED


def _cause_of(error: RayError) -> str:
    if isinstance(error, RayTaskError):
        return f"{type(error.cause).__name__}: {error.cause}"
    if isinstance(error, OutOfMemoryError):
        return "Ray ended it because the node ran out of memory"
    if isinstance(error, RayActorError):
        return f"its process is gone: {_exit_of(error)}"
    return str(error)


def _exit_of(error: RayActorError) -> str:
    """Of what Ray tells, which is long, the end of the process."""
    told = _EXIT_DETAIL.search(str(error))
    return " ".join((told[1] if told else str(error)).split())
