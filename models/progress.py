"""How long work says what it is doing. Whoever starts the work decides where the words go."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol


class Progress(Protocol):
    """Told of each step and of the bytes done within it. May be called from several threads."""

    def step(self, message: str) -> None:
        """Something new begins."""

    def advance(self, done_bytes: int, total_bytes: int) -> None:
        """How far the current step is."""


class NoProgress:
    """Says nothing."""

    def step(self, message: str) -> None:
        """Ignore it."""

    def advance(self, done_bytes: int, total_bytes: int) -> None:
        """Ignore it."""


class LogProgress:
    """One log line for each step, and at most one every ``interval_s`` for bytes."""

    def __init__(
        self, logger: logging.Logger, *, interval_s: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._logger = logger
        self._interval_s = interval_s
        self._clock = clock
        self._last_s = clock()

    def step(self, message: str) -> None:
        """Log the step at once; byte lines start counting from here."""
        self._last_s = self._clock()
        self._logger.info("%s", message)

    def advance(self, done_bytes: int, total_bytes: int) -> None:
        """Log the share that is done, unless a line was logged just now."""
        now_s = self._clock()
        if now_s - self._last_s < self._interval_s:
            return
        self._last_s = now_s
        percent = 100 * done_bytes // max(total_bytes, 1)
        self._logger.info("%d%% of %.1f MB", percent, total_bytes / 1e6)
