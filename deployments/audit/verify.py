"""Checks a whole journal: nothing was changed, removed, added or moved since it was written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from deployments.audit.chain import FIRST
from deployments.audit.reader import Cursor
from deployments.audit.removal import read_removals
from deployments.audit.segment_check import Finding, SegmentCheck
from deployments.audit.segments import ChainEnd, Segment, by_writer, is_locked, list_segments, parse_segment


@dataclass(frozen=True, slots=True)
class Report:
    """What was looked at and what was found.

    ``removals``: up to where writers were pruned. ``elsewhere``: files that were counted, of writers of whom
    nothing is here: they are on other nodes, or everything of those writers was removed.
    """

    num_writers: int
    num_segments: int
    num_lines: int
    removals: dict[str, ChainEnd]
    elsewhere: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def is_intact(self) -> bool:
        """Whether nothing but crashes has befallen the journal."""
        return not any(finding.is_damage for finding in self.findings)


def verify(folder: Path, anchors: Iterable[Cursor] = (), *, is_whole: bool = False) -> Report:
    """Read all that is in ``folder``; other writers may go on meanwhile.

    ``anchors`` are positions that were noted elsewhere before, as in the state database. Without them, a journal
    whose last lines, or all lines of one writer, are gone looks like one that never had them. ``is_whole``: no
    other node has a part of it, so that whatever was counted must be here.
    """
    by_file = {anchor.file: anchor for anchor in anchors if anchor.offset > 0}
    removals = read_removals(folder)
    segments = list_segments(folder)
    checks = list(_check(folder, segments, removals, by_file))
    absent = _absent(by_file, segments, removals)
    writers = {segment.writer for segment in segments}
    missing = [segment for segment in absent if is_whole or segment.writer in writers | removals.keys()]
    found = chain.from_iterable(check.findings for check in checks)
    return Report(
        num_writers=len(writers),
        num_segments=len(segments),
        num_lines=sum(check.num_lines for check in checks),
        removals=removals,
        elsewhere=tuple(segment.file for segment in absent if segment not in missing),
        findings=(*found, *(Finding(each.file, 0, "it is missing, and was counted before") for each in missing)),
    )


def _check(
    folder: Path,
    segments: Iterable[Segment],
    removals: Mapping[str, ChainEnd],
    anchors: Mapping[str, Cursor],
) -> Iterator[SegmentCheck]:
    for writer, each in by_writer(segments):
        end = _end_before(each[0], removals.get(writer))
        for segment in each:
            check = SegmentCheck(segment, end, anchors.get(segment.file))
            _read(folder / segment.file, check)
            end = check.end
            yield check


def _end_before(first: Segment, removed: ChainEnd | None) -> ChainEnd | None:
    """Of what ``first``, the first segment that is there, has to go on. None if that is not known.

    The note of a removal comes before the removal: if that was cut short, some of it is still there.
    """
    if removed is None:
        return ChainEnd(number=0, seq=-1, hash=FIRST, torn_bytes=0)
    return removed if first.number > removed.number else None


def _read(path: Path, check: SegmentCheck) -> None:
    is_live = is_locked(path)
    with path.open("rb") as lines:
        for raw in lines:
            check.take(raw)
    check.finish(is_live)


def _absent(files: Iterable[str], segments: Iterable[Segment], removals: Mapping[str, ChainEnd]) -> list[Segment]:
    """Those of ``files`` that are not here and were not pruned."""
    counted = {segment for segment in map(parse_segment, files) if segment}
    return [
        segment
        for segment in sorted(counted.difference(segments))
        if segment.writer not in removals or segment.number > removals[segment.writer].number
    ]
