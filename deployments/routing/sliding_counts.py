"""Counts over the last seconds, in constant memory. Pure: the clock is passed in."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

_NUM_SLICES = 10


@dataclass(slots=True)
class _Slice:
    number: int
    events: int = 0
    marked: int = 0


class SlidingCounts:
    """Events, and those of them that are marked, of the last ``window_s`` seconds.

    They are forgotten a tenth of the window at a time, so the counts are of 0.9 to 1 windows.
    Times are in seconds of any clock that never goes back.
    """

    def __init__(self, window_s: float) -> None:
        self._slice_s = window_s / _NUM_SLICES
        self._slices: deque[_Slice] = deque()
        self._events = 0
        self._marked = 0

    def add(self, now_s: float, *, events: int = 0, marked: int = 0) -> None:
        self._forget(now_s)
        number = int(now_s // self._slice_s)
        if not self._slices or self._slices[-1].number != number:
            self._slices.append(_Slice(number))
        newest = self._slices[-1]
        newest.events += events
        newest.marked += marked
        self._events += events
        self._marked += marked

    def totals(self, now_s: float) -> tuple[int, int]:
        """Events, and marked ones."""
        self._forget(now_s)
        return self._events, self._marked

    def _forget(self, now_s: float) -> None:
        oldest = int(now_s // self._slice_s) - _NUM_SLICES + 1
        while self._slices and self._slices[0].number < oldest:
            gone = self._slices.popleft()
            self._events -= gone.events
            self._marked -= gone.marked
