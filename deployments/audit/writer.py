"""The journal of one process: appended to on the request path, tended once per second off it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from deployments.audit.backlog import Backlog
from deployments.audit.chain_writer import ChainWriter
from deployments.audit.record import Record, encode_record
from deployments.audit.segment_file import SegmentFile, sync_folder
from models.errors import ConfigError

_SLICE = 500  # how many waiting records are written before those on the request path get their turn


@dataclass(frozen=True, slots=True)
class JournalLimits:
    """When a segment ends (and each day, UTC), and what is kept in memory while the disk refuses."""

    max_segment_bytes: int = 64 * 2**20
    max_waiting_bytes: int = 32 * 2**20


DEFAULT_LIMITS = JournalLimits()


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the journal is not written now, and what that holds up.

    ``num_waiting`` records are in memory only.
    """

    since: datetime
    reason: str
    num_waiting: int


class JournalWriter:
    """Appends records to the chain of ``writer``, a name that no other process uses. Thread-safe.

    A record is safe from the end of the process when ``append`` returns, and from a power cut when the next
    ``tick`` does. ConfigError if there is no writing to ``folder`` at the start; trouble with the disk that comes
    later is not raised but returned, and seen in ``trouble`` until it is over.
    """

    def __init__(
        self, folder: Path, writer: str, now: Callable[[], datetime], limits: JournalLimits = DEFAULT_LIMITS
    ) -> None:
        self._folder = folder
        self._limits = limits
        self._now = now
        self._lock = threading.Lock()
        self._chain = _open(folder, writer, now)
        self._retired: list[SegmentFile] = []
        self._backlog = Backlog(limits.max_waiting_bytes)
        self._failure: tuple[datetime, str] | None = None

    @property
    def num_lost(self) -> int:
        """Records that were never written, since the start."""
        return self._backlog.num_lost

    @property
    def trouble(self) -> Trouble | None:
        """None while records reach the file."""
        failure = self._failure
        return failure and Trouble(*failure, len(self._backlog))

    def append(self, record: Record) -> Trouble | None:
        """None: it is in the file. Otherwise it waits in memory, or is lost and counted. Waits for no sync."""
        encoded = encode_record(record)
        with self._lock:
            if self._failure is None:
                try:
                    self._chain.append(encoded)
                except OSError as error:
                    self._failure = (self._now(), str(error))
                else:
                    return None
            self._backlog.keep(encoded, self._now(), self._failure[1])
            return self.trouble

    def tick(self) -> Trouble | None:
        """Write what waits, begin a new segment when it is time, sync. Once per second; blocks on the disk."""
        try:
            with self._lock:
                self._tend()
            while self._write_waiting():
                pass
            self._sync()
        except OSError as error:
            with self._lock:
                since = self._failure[0] if self._failure else self._now()
                self._failure = (since, str(error))
        return self.trouble

    def close(self) -> Trouble | None:
        """A last ``tick``; from then on the writer counts as dead. What still waits, by the result, is gone."""
        trouble = self.tick()
        with self._lock:
            self._chain.close()
        return trouble

    def _tend(self) -> None:
        """A file that has lost its place takes what it holds with it."""
        if not self._chain.is_in_place():
            num_removed = self._chain.num_records
            self._retired.append(self._chain.rotate())
            self._backlog.lose(num_removed, self._now(), "their segment was removed")
        elif self._chain.is_due(self._limits.max_segment_bytes):
            self._retired.append(self._chain.rotate())

    def _write_waiting(self) -> bool:
        """Some of what waits, so that the request path gets its turn. Whether there is more."""
        with self._lock:
            for _ in range(_SLICE):
                record = self._backlog.first()
                if record is None:
                    self._tell_losses()
                    self._failure = None
                    return False
                self._chain.append(record)
                self._backlog.drop_first()
            return True

    def _tell_losses(self) -> None:
        lost = self._backlog.lost_record(self._now())
        if lost is not None:
            self._chain.append(encode_record(lost))
            self._backlog.forget_lost()

    def _sync(self) -> None:
        """Outside the lock: appends go on. A segment that has ended keeps its lock until it is safe."""
        with ExitStack() as handles:
            with self._lock:
                current = self._chain.duplicate()
                handles.callback(os.close, current)
                retired, self._retired = self._retired, []
            for segment in retired:
                handles.callback(segment.close)
            for segment in retired:
                segment.sync()
            os.fsync(current)
        sync_folder(self._folder)


def _open(folder: Path, writer: str, now: Callable[[], datetime]) -> ChainWriter:
    try:
        return ChainWriter(folder, writer, now)
    except OSError as error:
        raise ConfigError(
            f"the journal of {writer} cannot be written in {folder}: {error}",
            remedy="give it a folder on a local disk that can be written, and a writer name of its own",
        ) from error
