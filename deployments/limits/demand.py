"""How much of a counter one router replica is likely to want soon."""

from __future__ import annotations

from math import ceil, exp

_AHEAD_S = 2.0
_ACTIVE_SHARE = 0.1  # of one request: reached 4.6 s after the last one


class Demand:
    """A sum of what was asked for that fades within about ``_AHEAD_S``. Times are in seconds."""

    __slots__ = ("_asked", "_largest", "_level", "_looked_at", "_missed", "_needed")

    def __init__(self, now: float) -> None:
        self._looked_at = now
        self._level = 0.0
        self._asked = self._largest = self._missed = self._needed = 0

    def note(self, asked: int) -> None:
        """A request takes so much."""
        self._asked += asked
        self._largest = max(self._largest, asked)

    def miss(self, asked: int) -> None:
        """A request asked for so much and could not have it; it may ask again after the next look."""
        self._missed += asked
        self._needed = max(self._needed, asked)
        self._largest = max(self._largest, asked)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing was asked for since the last look."""
        return self._asked == self._missed == 0

    @property
    def is_over(self) -> bool:
        """Whether nothing was asked for in a while."""
        return self.is_quiet and self._largest == 0

    def look(self, now: float) -> tuple[int, int]:
        """What to have ready, at least for one request, and what one needed in vain since the last look."""
        self._level = self._level * exp(min(0.0, self._looked_at - now) / _AHEAD_S) + self._asked
        level, needed = self._level + self._missed, self._needed
        if level < _ACTIVE_SHARE * self._largest:
            self._largest = 0
        self._looked_at, self._asked, self._missed, self._needed = now, 0, 0, 0
        return (max(ceil(level), self._largest) if self._largest else 0), needed
