"""A circuit breaker: a version that fails too often gets no requests for a while. Pure: the clock is passed in.

Closed, it counts. Once enough of the calls of the last seconds failed it opens, and lets nothing through for
``open_s``. Then it is half open: a few calls are let through as probes. When all of them succeed it closes; when
one fails it opens again, for twice as long.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from deployments.routing.sliding_counts import SlidingCounts
from models.manifest import Frozen

_GROWTH = 2.0


class BreakerState(StrEnum):
    """What a breaker lets through: all, some probes, nothing."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


class BreakerSettings(Frozen):
    """When a version is left alone, and for how long.

    It opens when, of at least ``min_requests`` calls within ``window_s`` seconds, the share ``failure_share``
    failed. It stays open for ``open_s`` seconds, longer each time up to ``max_open_s``, and then lets ``probes``
    calls through. A deadline that passes counts as a failure of calls that had ``slow_s`` seconds.
    """

    window_s: float = Field(default=30, gt=0, le=3600)
    min_requests: int = Field(default=20, ge=1)
    failure_share: float = Field(default=0.5, gt=0, le=1)
    open_s: float = Field(default=5, gt=0)
    max_open_s: float = Field(default=60, gt=0, allow_inf_nan=False)
    probes: int = Field(default=3, ge=1)
    slow_s: float = Field(default=10, gt=0)

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        if self.open_s > self.max_open_s:
            raise ValueError(f"open_s {self.open_s:g} exceeds max_open_s {self.max_open_s:g}")
        return self


class Breaker:
    """The breaker of one version. A call that ``begin`` admits is told of by ``end``, with what ``begin`` gave.

    Probes whose end is never told are given up after the time for which it was open last, so that it never
    blocks for ever.
    """

    def __init__(self, settings: BreakerSettings) -> None:
        self._settings = settings
        self._era = 0  # the ends of calls that began in an earlier one no longer count
        self._half_open_at_s: float | None = None
        self._open_s: float
        self._close()

    @property
    def is_closed(self) -> bool:
        return self._half_open_at_s is None

    def state(self, now_s: float) -> BreakerState:
        """Half open from when the first probe may come until it closes, or opens again."""
        if self._half_open_at_s is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now_s < self._half_open_at_s else BreakerState.HALF_OPEN

    def blocked_s(self, now_s: float) -> float:
        """For how many seconds no call is admitted; 0: one is now."""
        if self._half_open_at_s is None:
            return 0.0
        until_s = self._half_open_at_s if self._num_probes < self._settings.probes else self._probes_lost_at_s
        return max(0.0, until_s - now_s)

    def begin(self, now_s: float) -> int | None:
        """What ``end`` takes, or None: the call is not admitted."""
        if self._half_open_at_s is None:
            return self._era
        if self.blocked_s(now_s) > 0:
            return None
        if self._num_probes == self._settings.probes:
            self._new_era()
        self._num_probes += 1
        self._probes_lost_at_s = now_s + self._open_s
        return self._era

    def end(self, era: int, now_s: float, *, succeeded: bool | None) -> None:
        """``succeeded`` None: the call says nothing of the version; its caller went away, for example."""
        if era != self._era:
            return
        if self._half_open_at_s is not None:
            self._end_probe(now_s, succeeded)
        elif succeeded is not None:
            self._counts.add(now_s, events=1, marked=not succeeded)
            if not succeeded and self._fails_too_often(now_s):
                self._open(now_s)

    def _fails_too_often(self, now_s: float) -> bool:
        calls, failed = self._counts.totals(now_s)
        return calls >= self._settings.min_requests and failed >= self._settings.failure_share * calls

    def _end_probe(self, now_s: float, succeeded: bool | None) -> None:
        if succeeded is None:
            self._num_probes -= 1
        elif not succeeded:
            self._open_s = min(self._open_s * _GROWTH, self._settings.max_open_s)
            self._open(now_s)
        else:
            self._num_succeeded += 1
            if self._num_succeeded == self._settings.probes:
                self._close()

    def _open(self, now_s: float) -> None:
        self._half_open_at_s = now_s + self._open_s
        self._new_era()

    def _close(self) -> None:
        self._half_open_at_s = None
        self._open_s = self._settings.open_s
        self._counts = SlidingCounts(self._settings.window_s)
        self._new_era()

    def _new_era(self) -> None:
        self._era += 1
        self._num_probes = 0
        self._num_succeeded = 0
        self._probes_lost_at_s = 0.0
