"""How long replicas take to start, from the wish for one to its first request: measured, and told robustly."""

from __future__ import annotations

import math
from collections.abc import Sequence

_MAX_KEPT = 12
_SHARE = 0.75


class Starts:
    """Of one application. What was wanted first is taken to be there first.

    ``measured``: seconds, the oldest first. ``is_known``: whether what is wanted at the first look was wanted
    before that, so that nobody knows since when.
    """

    def __init__(self, measured: Sequence[float] = (), *, is_known: bool = False) -> None:
        self.measured = tuple(measured)
        self._is_first_look = is_known
        self._wanted: list[float | None] = []
        self._num_ready: int | None = None

    def look(self, target: int, num_ready: int, now: float) -> None:
        """So many are wanted, and so many take requests."""
        came = 0 if self._num_ready is None else max(0, num_ready - self._num_ready)
        for since in [self._wanted.pop(0) for _ in range(min(came, len(self._wanted)))]:
            if since is not None:
                self.measured = (*self.measured, now - since)[-_MAX_KEPT:]
        missing = max(0, target - num_ready)
        new = missing - len(self._wanted)
        since_now = None if self._is_first_look else now
        self._wanted = [*self._wanted[:missing], *([since_now] * new)]
        self._num_ready = num_ready
        self._is_first_look = self._is_first_look and missing > 0 and num_ready == 0

    def estimate_s(self, guess_s: float) -> float:
        """As long as three of four starts take at the most, of the last ones; ``guess_s`` before there were any.

        The mean would be that of two kinds: with a node that is there, and with one that has to come first.
        """
        if not self.measured:
            return guess_s
        return sorted(self.measured)[math.ceil(_SHARE * len(self.measured)) - 1]
