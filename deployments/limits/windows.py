"""Calendar windows in UTC. Times are seconds since the epoch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from math import inf


class Window(StrEnum):
    """For how long a limit counts before it begins again. ``NOW``: it counts what is under way, and never ends."""

    NOW = "now"
    MINUTE = "minute"
    DAY = "day"
    MONTH = "month"

    @property
    def is_budget(self) -> bool:
        """Whether it is too long to wait for its end."""
        return self in (Window.DAY, Window.MONTH)

    def bounds(self, now: float) -> tuple[int, float]:
        """When the window that ``now`` is in began, and when it ends."""
        if self is Window.NOW:
            return 0, inf
        begin = datetime.fromtimestamp(now, UTC).replace(second=0, microsecond=0)
        if self is Window.MINUTE:
            return _seconds(begin), _seconds(begin + timedelta(minutes=1))
        begin = begin.replace(hour=0, minute=0)
        if self is Window.DAY:
            return _seconds(begin), _seconds(begin + timedelta(days=1))
        begin = begin.replace(day=1)
        return _seconds(begin), _seconds((begin + timedelta(days=31)).replace(day=1))


def _seconds(time: datetime) -> int:
    return int(time.timestamp())
