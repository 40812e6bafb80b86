"""The newest records of all writers, and those that come while one looks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from pathlib import Path

from deployments.audit.chain import Line, read_line
from deployments.audit.reader import Cursor, pending, read_chunk
from deployments.audit.record import Record
from deployments.audit.segments import Segment, by_writer, list_segments
from models.errors import ConfigError

_RECENT = 2  # a writer's newest segment may have just begun


class Tail:
    """Of the journal in ``folder``. ConfigError at a line that is not as it was written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cursors: dict[str, Cursor] = {}

    def last(self, count: int) -> list[Record]:
        """Up to ``count`` of the newest records, sorted by time; of each writer, from its last two segments."""
        records: list[Record] = []
        for _, segments in by_writer(list_segments(self._folder)):
            for segment in segments[:-_RECENT]:
                self._skip(segment)
            records += [line.record() for each in segments[-_RECENT:] for line in self._last_lines(each, count)]
        return _by_time(records)[-count:] if count else []

    def more(self) -> list[Record]:
        """What has come since the last call, or since ``last``, sorted by time; of much, a part of each segment.

        All of it has been read when there is nothing more.
        """
        writers = {segment.writer for segment in list_segments(self._folder)}
        records: list[Record] = []
        for cursor in pending(self._folder, writers, self._cursors):
            chunk = read_chunk(self._folder, cursor)
            if chunk.damage:
                raise ConfigError(chunk.damage, remedy="`stowage audit verify` looks at the whole journal")
            self._cursors[cursor.file] = chunk.after
            records += chunk.records
        return _by_time(records)

    def _skip(self, segment: Segment) -> None:
        size = (self._folder / segment.file).stat().st_size
        self._cursors[segment.file] = Cursor(segment.file, size)

    def _last_lines(self, segment: Segment, count: int) -> list[Line]:
        kept: deque[bytes] = deque(maxlen=max(count, 1))
        offset = 0
        with (self._folder / segment.file).open("rb") as lines:
            for raw in lines:
                if raw.endswith(b"\n"):
                    offset += len(raw)
                    kept.append(raw)
        found = [_readable(raw, segment) for raw in kept]
        if found:
            self._cursors[segment.file] = Cursor(segment.file, offset, found[-1].hash)
        return found


def _readable(raw: bytes, segment: Segment) -> Line:
    line = read_line(raw)
    if line is None:
        raise ConfigError(f"{segment.file} has a line that is damaged", remedy="see `stowage audit verify`")
    return line


def _by_time(records: Iterable[Record]) -> list[Record]:
    return sorted(records, key=lambda record: record.time)
