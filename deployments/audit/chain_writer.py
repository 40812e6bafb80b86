"""One writer's chain of lines, over all its segments."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from deployments.audit.chain import FIRST, seal
from deployments.audit.record import SegmentStart, encode_record
from deployments.audit.segment_file import SegmentFile
from deployments.audit.segments import Segment, is_locked, list_segments, parse_segment, read_end
from models.errors import ConfigError


class ChainWriter:
    """Appends to the newest segment. All methods raise OSError where the disk refuses. Not for several threads.

    Made for a ``writer`` that has segments already, it goes on with their chain in a new one. ConfigError if
    another process does, or if their end is damaged.
    """

    def __init__(self, folder: Path, writer: str, now: Callable[[], datetime]) -> None:
        self._folder = folder
        self._now = now
        self._seq, self._hash = 0, FIRST
        first = Segment(writer, 1)
        if parse_segment(first.file) is None:
            raise ConfigError(
                f"{writer!r} cannot name a journal file", remedy="use letters, digits, '-', '_' and '.'"
            )
        own = [segment for segment in list_segments(folder) if segment.writer == writer]
        self._begin(own[-1].next if own else first, self._take_up(own[-1]) if own else 0)

    def is_due(self, max_bytes: int) -> bool:
        """Whether the segment has reached this size or is of another day (UTC) than today."""
        old = self._file.size >= max_bytes or self._day != self._now().date()
        return old and not self._file.is_fresh

    def append(self, record: bytes) -> None:
        """``record`` is one JSON object. It is in the file on return."""
        line, digest = seal(self._seq, self._hash, record)
        self._file.append(line)
        self._seq, self._hash = self._seq + 1, digest

    def rotate(self) -> SegmentFile:
        """Go on in a new segment. Returns the old one, for the caller to sync and close."""
        old = self._file
        old.repair()
        self._begin(self._segment.next, torn_bytes=0)
        return old

    @property
    def num_records(self) -> int:
        """In the newest segment."""
        return self._seq - self._first_seq

    def is_in_place(self) -> bool:
        """Whether the newest segment's file still has its name: otherwise nobody can read it."""
        return self._file.is_in_place()

    def duplicate(self) -> int:
        """A handle to sync the newest segment by."""
        return self._file.duplicate()

    def close(self) -> None:
        self._file.close()

    def _take_up(self, last: Segment) -> int:
        """The chain that ends in ``last``. Returns the bytes of half a line that a crash left behind it."""
        path = self._folder / last.file
        if is_locked(path):
            raise ConfigError(
                f"a living process writes {path}", remedy="give each process a writer name of its own"
            )
        end = read_end(self._folder, last)
        self._seq, self._hash = end.seq + 1, end.hash
        return end.torn_bytes

    def _begin(self, segment: Segment, torn_bytes: int) -> None:
        start = SegmentStart(
            time=self._now(),
            writer=segment.writer,
            number=segment.number,
            follows=self._hash,
            torn_bytes=torn_bytes,
        )
        line, digest = seal(self._seq, self._hash, encode_record(start))
        self._file = SegmentFile.create(self._folder, segment, line)
        self._segment, self._day = segment, start.time.date()
        self._seq, self._hash = self._seq + 1, digest
        self._first_seq = self._seq
