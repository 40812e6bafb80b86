"""Reads a journal on from where it was read to, line by whole line."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path

from deployments.audit.chain import Line, read_line
from deployments.audit.record import Record, SegmentStart
from deployments.audit.segments import list_segments

MAX_CHUNK_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far one segment has been read: up to this byte, where the line with this hash ends."""

    file: str
    offset: int = 0
    hash: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """The records of consecutive lines.

    ``damage`` says what is wrong with the line at ``after``: it is not as it was written, so nothing behind it can
    be trusted, or a later release wrote it. Reading on from there finds the same again.
    """

    records: tuple[Record, ...]
    after: Cursor
    damage: str | None = None


def pending(folder: Path, writers: Container[str], cursors: Mapping[str, Cursor]) -> list[Cursor]:
    """From where to read on: one cursor for each segment of ``writers`` with bytes that were not read yet.

    ``cursors`` are those of earlier reads by file; segments come in the order in which they were written.
    """
    files = [segment.file for segment in list_segments(folder) if segment.writer in writers]
    known = (cursors.get(file, Cursor(file)) for file in files)
    return [cursor for cursor in known if _size(folder / cursor.file) > cursor.offset]


def read_chunk(folder: Path, cursor: Cursor, max_bytes: int = MAX_CHUNK_BYTES) -> Chunk:
    """The complete lines behind ``cursor``: at least one if there is one, else up to ``max_bytes``.

    Half a line at the end is left for later: it is being written, or a crash has cut it off.
    """
    records: list[Record] = []
    first_offset = cursor.offset
    with (folder / cursor.file).open("rb") as lines:
        lines.seek(first_offset)
        for raw in lines:
            if not raw.endswith(b"\n") or (records and cursor.offset - first_offset + len(raw) > max_bytes):
                break
            try:
                line, record = _checked(raw, cursor)
            except ValueError as error:
                return Chunk(tuple(records), cursor, str(error))
            records.append(record)
            cursor = Cursor(cursor.file, cursor.offset + len(raw), line.hash)
    return Chunk(tuple(records), cursor)


def _checked(raw: bytes, cursor: Cursor) -> tuple[Line, Record]:
    """ValueError, which pydantic's is too, says what is wrong with the line."""
    line = read_line(raw)
    if line is None:
        raise ValueError(f"{cursor.file}: what stands at byte {cursor.offset} is no line of a journal")
    record = line.record()
    previous = cursor.hash
    if isinstance(record, SegmentStart) and cursor.offset == 0:
        previous = record.follows
    if not line.follows(previous):
        raise ValueError(f"{cursor.file}: line {line.seq} at byte {cursor.offset} is not as it was written")
    return line, record


def _size(path: Path) -> int:
    """In bytes; 0 for a segment that has just been pruned."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
