"""Real journals in a temporary folder, with a clock that the test turns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from deployments.audit.reader import Cursor, read_chunk
from deployments.audit.record import Attempt, Charge, Outcome, Record, RequestRecord
from deployments.audit.segments import list_segments
from deployments.audit.writer import DEFAULT_LIMITS, JournalLimits, JournalWriter

START = datetime(2026, 7, 31, 9, 5, tzinfo=UTC)
ONE_LINE = JournalLimits(max_segment_bytes=1)


@dataclass
class Clock:
    time: datetime = START

    def __call__(self) -> datetime:
        return self.time

    def advance(self, **delta: float) -> None:
        self.time += timedelta(**delta)


def request(number: int = 0, **changes: object) -> RequestRecord:
    fields: dict[str, object] = {
        "id": f"request-{number}",
        "time": START,
        "replica": "router-1",
        "protocol": "openai",
        "operation": "generate",
        "tenant": "research",
        "outcome": Outcome.OK,
        "status": 200,
        "total_ms": 80.5,
        "key": "abcd1234",
        "model": "tiny",
        "version": "1",
        "attempts": (Attempt("tiny@1", "ok", 79.25),),
        "input_tokens": 3,
        "output_tokens": 5,
        "charges": (Charge("key", "abcd1234", "tokens_per_day", 1785456000),),
    }
    return RequestRecord(**{**fields, **changes})  # type: ignore[arg-type]


def open_journal(
    folder: Path, writer: str = "router-1", clock: Clock | None = None, limits: JournalLimits = DEFAULT_LIMITS
) -> JournalWriter:
    return JournalWriter(folder, writer, clock or Clock(), limits)


def write_journal(folder: Path, num_requests: int, *, per_segment: int = 1000, writer: str = "router-1") -> None:
    """A closed journal of so many requests, with a new segment after each ``per_segment`` of them."""
    clock = Clock()
    journal = open_journal(folder, writer, clock)
    for number in range(num_requests):
        assert journal.append(request(number)) is None
        if (number + 1) % per_segment == 0:
            clock.advance(days=1)
            assert journal.tick() is None
    assert journal.close() is None


def read_all(folder: Path) -> list[Record]:
    """Every record of every segment; no line may be damaged."""
    chunks = [read_chunk(folder, Cursor(segment.file)) for segment in list_segments(folder)]
    assert [chunk.damage for chunk in chunks if chunk.damage] == []
    return [record for chunk in chunks for record in chunk.records]


def request_ids(folder: Path) -> list[str]:
    return [record.id for record in read_all(folder) if isinstance(record, RequestRecord)]


def files(folder: Path) -> list[Path]:
    return [folder / segment.file for segment in list_segments(folder)]
