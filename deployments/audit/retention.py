"""Removes old segments, and notes in the journal that this was meant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import chain, takewhile
from pathlib import Path

from deployments.audit.reader import Cursor, read_chunk
from deployments.audit.removal import is_retention, removal_record, retention_writer
from deployments.audit.segments import Segment, by_writer, is_locked, list_segments, read_end
from deployments.audit.verify import verify
from deployments.audit.writer import JournalWriter
from models.errors import ConfigError


class Retention:
    """Prunes one journal, in one ``run``, a name unlike all others.

    ``cursors``: how far the segments were counted, by file. What has not been counted is not removed.
    """

    def __init__(self, folder: Path, run: str, cursors: Mapping[str, Cursor], now: Callable[[], datetime]) -> None:
        self._folder = folder
        self._run = run
        self._cursors = cursors
        self._now = now

    def removable(self, before: datetime) -> list[Segment]:
        """The oldest segments of each writer, as far as they were last written before this time.

        Kept is what its writer goes on with, what is not counted to its end, and the notes of earlier removals.
        """
        writers = (each for writer, each in by_writer(list_segments(self._folder)) if not is_retention(writer))
        done = (takewhile(lambda segment: self._is_done(segment, before), each) for each in writers)
        return list(chain.from_iterable(done))

    def prune(self, before: datetime, actor: str) -> list[Segment]:
        """Remove them, oldest first, after the note that they are gone is safe on the disk.

        ConfigError, and nothing is removed, if the journal is damaged or the note cannot be written.
        """
        if not verify(self._folder, self._cursors.values()).is_intact:
            raise ConfigError(
                f"the journal in {self._folder} is damaged",
                remedy="`stowage audit verify` says where; nothing is removed that may be evidence",
            )
        segments = self.removable(before)
        if segments:
            self._note(segments, actor)
        for segment in segments:
            (self._folder / segment.file).unlink()
        return segments

    def _is_done(self, segment: Segment, before: datetime) -> bool:
        path = self._folder / segment.file
        if path.stat().st_mtime >= before.timestamp() or is_locked(path):
            return False
        return not read_chunk(self._folder, self._cursors.get(segment.file, Cursor(segment.file))).records

    def _note(self, segments: list[Segment], actor: str) -> None:
        journal = JournalWriter(self._folder, retention_writer(self._run), self._now)
        for writer, each in by_writer(segments):
            end = read_end(self._folder, each[-1])
            journal.append(removal_record(writer, end, actor, self._now()))
        trouble = journal.close()
        if trouble:
            raise ConfigError(f"the removal cannot be noted: {trouble.reason}", remedy="make room on the disk")
