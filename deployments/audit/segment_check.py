"""Goes along the lines of one segment and says which are not as they were written."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from deployments.audit.chain import Line, read_line
from deployments.audit.reader import Cursor
from deployments.audit.record import SegmentStart
from deployments.audit.segments import ChainEnd, Segment

_UNREADABLE = "this is no line of a journal"
_CHANGED = "this line is not as it was written"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with one ``line`` of a file, counted from 1; 0: with the file as a whole.

    ``is_damage`` is False for half a line that a crash has left at the end of a segment.
    """

    file: str
    line: int
    problem: str
    is_damage: bool = True


class SegmentCheck:
    """``before``: where the segment before it ended, None if unknown; ``anchor``: a position noted elsewhere.

    ``take`` every line in order, then ``finish``. After a bad line the check goes on from what that line claims.
    """

    def __init__(self, segment: Segment, before: ChainEnd | None, anchor: Cursor | None) -> None:
        self.num_lines = 0
        self.findings: list[Finding] = []
        self._segment = segment
        self._before = before
        self._anchor = anchor
        self._last: Line | None = None
        self._num_bytes = self._torn_bytes = 0

    @property
    def end(self) -> ChainEnd | None:
        """None where the last complete line cannot be read."""
        if self._last is None:
            return None
        return ChainEnd(self._segment.number, self._last.seq, self._last.hash, self._torn_bytes)

    def take(self, raw: bytes) -> None:
        """One line with its newline, or what stands behind the last newline."""
        if not raw.endswith(b"\n"):
            self._torn_bytes = len(raw)
            return
        self.num_lines += 1
        self._num_bytes += len(raw)
        line = read_line(raw)
        problem = self._first_problem(line) if self.num_lines == 1 else _problem(self._last, line)
        if problem:
            self._find(problem)
        self._compare(self._anchor, line)
        self._last = line

    def finish(self, is_live: bool) -> None:
        """``is_live``: its writer goes on with it, so that half a line may be one on its way."""
        file = self._segment.file
        if self.num_lines == 0:
            self.findings.append(Finding(file, 0, "there is no complete line in it"))
        if self._torn_bytes and not is_live:
            torn = f"{self._torn_bytes} bytes of half a line, as a crash leaves them"
            self.findings.append(Finding(file, self.num_lines + 1, torn, is_damage=False))
        if self._anchor:
            counted = f"it was counted up to byte {self._anchor.offset} before, where no line ends now"
            self.findings.append(Finding(file, 0, counted))

    def _compare(self, anchor: Cursor | None, line: Line | None) -> None:
        """An anchor that was reached is no longer waited for."""
        if anchor is None or anchor.offset != self._num_bytes:
            return
        self._anchor = None
        if line is None or line.hash != anchor.hash:
            self._find("this line, or one before it, is another than the one that was counted")

    def _first_problem(self, line: Line | None) -> str | None:
        start = None if line is None else _start(line)
        if line is None or start is None:
            return "this is not the line that begins a segment"
        if not line.follows(start.follows):
            return _CHANGED
        if (start.writer, start.number) != (self._segment.writer, self._segment.number):
            return f"this is the beginning of {Segment(start.writer, start.number).file}"
        return None if self._before is None else _link_problem(self._before, line, start)

    def _find(self, problem: str) -> None:
        self.findings.append(Finding(self._segment.file, self.num_lines, problem))


def _start(line: Line) -> SegmentStart | None:
    try:
        record = line.record()
    except ValidationError:
        return None
    return record if isinstance(record, SegmentStart) else None


def _link_problem(before: ChainEnd, line: Line, start: SegmentStart) -> str | None:
    if start.number != before.number + 1:
        return f"segments {before.number + 1} to {start.number - 1} before it are missing"
    if (line.seq, start.follows) != (before.seq + 1, before.hash):
        return "it does not go on from the end of the segment before, where lines were removed or added"
    if start.torn_bytes != before.torn_bytes:
        return f"the segment before ends with {before.torn_bytes} bytes of half a line that no writer left there"
    return None


def _problem(before: Line | None, line: Line | None) -> str | None:
    if line is None:
        return _UNREADABLE
    if before is None:
        return None
    if line.seq > before.seq + 1:
        return f"line {line.seq} of its writer stands behind {before.seq}: what was between is missing"
    if line.seq <= before.seq:
        return f"line {line.seq} of its writer stands behind {before.seq}: it was moved or copied here"
    return None if line.follows(before.hash) else _CHANGED
