"""What a rank spends its time on, told by its pulse and by the collectives that it is in. Imports torch."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from threading import Lock
from typing import ParamSpec, TypeVar

import torch.distributed as dist
from torch.distributed.tensor import DTensor

from benchmarks.parallel_orders import Spent
from models.parallel.pulse import ProgressCounter

P = ParamSpec("P")
T = TypeVar("T")


class TimedPulse(ProgressCounter):
    """Also adds up how long each thing was done: all layers together, and each wait by what is waited for."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        super().__init__()
        self._clock = clock
        self._timing = Lock()
        self._since = clock()
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def advance(self, doing: str, waits_for: tuple[int, ...] = ()) -> None:
        with self._timing:
            self._count()
            super().advance(doing, waits_for)

    def take(self) -> dict[str, float]:
        """Seconds since the last time, what is being done now included; from any thread."""
        with self._timing:
            self._count()
            taken, self._seconds = self._seconds, defaultdict(float)
        return dict(taken)

    def _count(self) -> None:
        before, self._since = self._since, self._clock()
        self._seconds[_kind(self.snapshot().doing)] += self._since - before


class Collectives:
    """How long this process was in each collective of its tensor group, in their order, waits included."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._seconds: list[float] = []

    def watch(self) -> None:
        """From now on; for the process's life, as transformers looks these functions up at each call."""
        dist.all_reduce = self._timed(dist.all_reduce)  # after a matrix that is cut by columns
        DTensor.redistribute = self._timed(DTensor.redistribute)  # type: ignore[method-assign]  # of the scores

    def take(self) -> tuple[float, ...]:
        """Since the last time."""
        taken, self._seconds = self._seconds, []
        return tuple(taken)

    def _timed(self, function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def timed(*args: P.args, **kwargs: P.kwargs) -> T:
            began = self._clock()
            try:
                return function(*args, **kwargs)
            finally:
                self._seconds.append(self._clock() - began)

        return timed


def look(pulse: TimedPulse, collectives: Collectives) -> Spent:
    """What both say."""
    return Spent(pulse.take(), collectives.take())


def _kind(doing: str) -> str:
    return "computes layers" if doing.startswith("computes layer") else doing
