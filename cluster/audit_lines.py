"""Records of the journal as one line each, for people."""

from __future__ import annotations

import json
from typing import assert_never

from deployments.audit.record import (
    AdminRecord,
    LostRecords,
    Record,
    RequestRecord,
    SegmentStart,
    format_time,
)


def format_record(record: Record) -> str:
    """When, then what. What a caller wrote is escaped: no terminal takes it for a command."""
    return f"{format_time(record.time)}  {_tell(record)}"


def _tell(record: Record) -> str:
    match record:
        case RequestRecord():
            return _request(record)
        case AdminRecord():
            details = json.dumps(record.details)
            return _plain(f"admin      {record.actor} {record.action} {record.subject} {details}")
        case SegmentStart():
            return f"segment    {record.writer} begins {record.number}"
        case LostRecords():
            return _plain(f"LOST       {record.count} records since {format_time(record.since)}: {record.reason}")
        case _:
            assert_never(record)


def _request(record: RequestRecord) -> str:
    answered = f"{record.model}@{record.version}" if record.model else record.asked or "-"
    words = (
        f"{record.outcome:<9}  {record.status}",
        f"{record.protocol}/{record.operation}",
        answered,
        f"key={record.key or '-'} tenant={record.tenant}",
        f"tokens={record.input_tokens}+{record.output_tokens}",
        f"{record.total_ms:.0f}ms",
        record.error or "",
    )
    return _plain("  ".join(words).rstrip())


def _plain(text: str) -> str:
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
