"""The files of a journal: ``WRITER.NUMBER.jsonl``, locked for as long as their writer goes on with them."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from deployments.audit.chain import read_line
from models.errors import ConfigError

_NAME = re.compile(r"(?P<writer>[A-Za-z0-9_-][A-Za-z0-9_.-]*)\.(?P<number>\d{8})\.jsonl")


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """One file. Sorted as its writer wrote them."""

    writer: str
    number: int

    @property
    def file(self) -> str:
        return f"{self.writer}.{self.number:08}.jsonl"

    @property
    def next(self) -> Segment:
        return Segment(self.writer, self.number + 1)


def parse_segment(file: str) -> Segment | None:
    """The segment with this file name; None for another kind of file."""
    match = _NAME.fullmatch(file)
    return match and Segment(match["writer"], int(match["number"]))


def list_segments(folder: Path) -> list[Segment]:
    """All segments, sorted by writer and number; none where there is no such folder."""
    found = [parse_segment(path.name) for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(segment for segment in found if segment is not None)


def by_writer(segments: Iterable[Segment]) -> Iterator[tuple[str, list[Segment]]]:
    """Sorted segments as one list for each writer."""
    return ((writer, list(each)) for writer, each in groupby(segments, key=lambda segment: segment.writer))


def dead_writers(folder: Path) -> frozenset[str]:
    """The writers that no process goes on with: whoever finds them has to count what they wrote."""
    return frozenset(writer for writer, each in by_writer(list_segments(folder)) if _is_dead(folder, each[-1]))


def _is_dead(folder: Path, last: Segment) -> bool:
    """A live writer locks its next segment before it lets go of this one."""
    return not is_locked(folder / last.file) and not (folder / last.next.file).exists()


def is_locked(path: Path) -> bool:
    """Whether a living writer goes on with this segment; False for one that has been removed."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


@dataclass(frozen=True, slots=True)
class ChainEnd:
    """Where a writer's chain ends with segment ``number``: its last complete line, and half a line behind that."""

    number: int
    seq: int
    hash: str
    torn_bytes: int


def read_end(folder: Path, segment: Segment) -> ChainEnd:
    """The end of a segment that nobody writes to any more. ConfigError if its last complete line is damaged."""
    last, torn_bytes = b"", 0
    with (folder / segment.file).open("rb") as lines:
        for raw in lines:
            if raw.endswith(b"\n"):
                last = raw
            else:
                torn_bytes = len(raw)
    line = read_line(last)
    if line is None:
        raise ConfigError(f"the last line of {folder / segment.file} is damaged", remedy="keep it: it is evidence")
    return ChainEnd(segment.number, line.seq, line.hash, torn_bytes)
