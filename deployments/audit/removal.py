"""What was pruned on purpose. It stands in the journal itself, in chains that hold nothing else."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from pydantic import TypeAdapter

from deployments.audit.reader import Cursor, read_chunk
from deployments.audit.record import AdminRecord, Record
from deployments.audit.segments import ChainEnd, list_segments

_PREFIX = "retention-"

_ACTION = "audit.prune"


_END = TypeAdapter(ChainEnd)


def removal_record(writer: str, end: ChainEnd, actor: str, time: datetime) -> AdminRecord:
    """The note that the segments of ``writer`` up to ``end`` are gone."""
    return AdminRecord(
        id=f"{_ACTION}.{writer}.{end.number}",
        time=time,
        actor=actor,
        action=_ACTION,
        subject=writer,
        details=dataclasses.asdict(end),
    )


def retention_writer(run: str) -> str:
    """The name under which one ``run`` of pruning notes what it removes; ``run`` is unique over all nodes."""
    return f"{_PREFIX}{run}"


def is_retention(writer: str) -> bool:
    """Whether it holds such notes: those are never pruned."""
    return writer.startswith(_PREFIX)


def read_removals(folder: Path) -> dict[str, ChainEnd]:
    """Up to where each writer's segments were pruned. What follows damage tells of none."""
    removals: dict[str, ChainEnd] = {}
    for record in _records(folder):
        if isinstance(record, AdminRecord) and record.action == _ACTION:
            end = _END.validate_python(record.details)
            removals[record.subject] = max(end, removals.get(record.subject, end), key=lambda each: each.number)
    return removals


def _records(folder: Path) -> Iterator[Record]:
    for segment in list_segments(folder):
        if is_retention(segment.writer):
            yield from read_chunk(folder, Cursor(segment.file), max_bytes=sys.maxsize).records
