"""A Ray gauge that goes on saying what it said last: Ray forgets a series that is not set again within seconds."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from ray.util.metrics import Gauge

# Ray 2.60 exports a value for two of its report intervals, which are 10 s long, after it was set.
_PERIOD_S = 5.0


class LastingGauge:
    """``tags`` are those of every value, ``labels`` the names of those that change with it."""

    def __init__(
        self,
        name: str,
        description: str,
        tags: Mapping[str, str],
        labels: Sequence[str] = (),
        period_s: float = _PERIOD_S,
    ) -> None:
        self._gauge = Gauge(name, description, (*tags, *labels))
        self._gauge.set_default_tags(dict(tags))
        self._period_s = period_s
        self._last: tuple[float, dict[str, str]] | None = None
        self._lock = threading.Lock()
        self._done = threading.Event()
        threading.Thread(target=self._repeat, name=name, daemon=True).start()

    def set(self, value: float, labels: Mapping[str, str] | None = None) -> None:
        """From now on, until it is set again, the gauge is closed or the process ends."""
        with self._lock:
            self._last = (value, dict(labels or {}))
            self._gauge.set(*self._last)

    def close(self) -> None:
        """What was set last is not repeated any more; idempotent."""
        self._done.set()

    def _repeat(self) -> None:
        while not self._done.wait(self._period_s):
            with self._lock:
                if self._last is not None:
                    self._gauge.set(*self._last)
