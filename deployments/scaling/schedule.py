"""When a version has at least so many replicas, whether they are asked for or not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")


@dataclass(frozen=True, slots=True)
class Window:
    """Each week on ``days``, from ``start`` to ``end`` (``HH:MM``, to ``24:00``) by the clocks of ``time_zone``.

    A window that ends at or before its start ends on the next day. ValueError for what is no such window.
    """

    replicas: int
    start: str
    end: str
    days: tuple[str, ...] = DAYS
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        if self.replicas < 1:
            raise ValueError(f"a scheduled window has {self.replicas} replicas, not 1 or more")
        for name, clock in (("start", self.start), ("end", self.end)):
            if not _CLOCK.fullmatch(clock) or (name == "start" and clock == "24:00"):
                raise ValueError(f"{name} {clock!r} of a scheduled window is no time of day as 08:30 is")
        unknown = [day for day in self.days if day not in DAYS]
        if unknown or not self.days:
            raise ValueError(f"days {list(self.days)} of a scheduled window are not some of {', '.join(DAYS)}")
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"time_zone {self.time_zone!r} is none that this machine knows") from error

    def __str__(self) -> str:
        return f"{self.replicas} from {self.start} to {self.end} on {', '.join(self.days)} ({self.time_zone})"

    def overlaps(self, start: float, end: float) -> bool:
        """Whether it is in force at some time from ``start`` to ``end``, in seconds since the epoch."""
        zone = ZoneInfo(self.time_zone)
        first = datetime.fromtimestamp(start, UTC).astimezone(zone).date() - timedelta(days=1)
        last = datetime.fromtimestamp(end, UTC).astimezone(zone).date()
        return any(
            began <= end and start < ended
            for offset in range((last - first).days + 1)
            for began, ended in self._on(first + timedelta(days=offset), zone)
        )

    def _on(self, day: date, zone: ZoneInfo) -> list[tuple[float, float]]:
        if DAYS[day.weekday()] not in self.days:
            return []
        began = datetime.combine(day, time.fromisoformat(self.start), zone)
        next_day = day + timedelta(days=1)
        if self.end == "24:00":
            ended = datetime.combine(next_day, time(), zone)
        else:
            until = time.fromisoformat(self.end)
            ended = datetime.combine(next_day if self.end <= self.start else day, until, zone)
        return [(began.timestamp(), ended.timestamp())]


def in_force(schedule: Iterable[Window], now: float, ahead_s: float) -> Window | None:
    """The window with most replicas that is in force now or begins within ``ahead_s``; None: there is none."""
    current = [window for window in schedule if window.overlaps(now, now + ahead_s)]
    return max(current, key=lambda window: window.replicas, default=None)
