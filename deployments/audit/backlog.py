"""Records that the disk did not take: kept in memory up to a bound, and counted beyond it."""

from __future__ import annotations

from collections import deque
from datetime import datetime

from deployments.audit.record import LostRecords


class Backlog:
    """First in, first out, ``max_bytes`` at most; what comes when it is full is lost. Not for several threads."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._waiting: deque[bytes] = deque()
        self._num_bytes = 0
        self._lost: tuple[datetime, int, str] | None = None
        self.num_lost = 0
        """Since the start, also those that the journal knows of by now."""

    def __len__(self) -> int:
        return len(self._waiting)

    def keep(self, record: bytes, now: datetime, reason: str) -> None:
        """``reason``: why it was not written."""
        if self._num_bytes + len(record) > self._max_bytes:
            self.lose(1, now, reason)
            return
        self._waiting.append(record)
        self._num_bytes += len(record)

    def first(self) -> bytes | None:
        """The one to write next; ``drop_first`` when it is written."""
        return self._waiting[0] if self._waiting else None

    def drop_first(self) -> None:
        self._num_bytes -= len(self._waiting.popleft())

    def lose(self, count: int, now: datetime, reason: str) -> None:
        """Count records that nothing can bring back."""
        since, before, _ = self._lost or (now, 0, reason)
        self._lost = (since, before + count, reason)
        self.num_lost += count

    def lost_record(self, now: datetime) -> LostRecords | None:
        """What the journal has to tell of the losses; ``forget_lost`` when it does."""
        if self._lost is None:
            return None
        since, count, reason = self._lost
        return LostRecords(time=now, since=since, count=count, reason=reason)

    def forget_lost(self) -> None:
        self._lost = None
