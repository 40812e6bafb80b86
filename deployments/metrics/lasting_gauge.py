"""A Ray gauge that goes on saying what it said last: Ray forgets a series that is not set again within seconds."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deployments.metrics.ray_metrics import make_gauge
from deployments.metrics.row import GaugeRow

# Ray 2.60 exports a value for two of its report intervals, which are 10 s long, after it was set.
_PERIOD_S = 5.0


@dataclass(frozen=True, slots=True)
class Series:
    """One value of a gauge, with the labels that are its own."""

    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


class LastingGauge:
    """``tags`` are the labels that all its values share."""

    def __init__(self, row: GaugeRow, tags: Mapping[str, str], period_s: float = _PERIOD_S) -> None:
        self._gauge = make_gauge(row, tags)
        self._period_s = period_s
        self._last: tuple[Series, ...] = ()
        self._lock = threading.Lock()
        self._done = threading.Event()
        threading.Thread(target=self._repeat, name=row.name, daemon=True).start()

    def set(self, value: float, labels: Mapping[str, str] | None = None) -> None:
        """From now on, until it is set again, the gauge is closed or the process ends."""
        self.set_all([Series(value, labels or {})])

    def set_all(self, series: Sequence[Series]) -> None:
        """As ``set``, of several at a time."""
        with self._lock:
            self._last = tuple(series)
            self._say()

    def close(self) -> None:
        """What was set last is not repeated any more; idempotent."""
        self._done.set()

    def _repeat(self) -> None:
        while not self._done.wait(self._period_s):
            with self._lock:
                self._say()

    def _say(self) -> None:
        for each in self._last:
            self._gauge.set(each.value, dict(each.labels))
