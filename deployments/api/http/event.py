"""One server-sent event."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic_core import to_json


def event(data: Mapping[str, object], name: str | None = None) -> bytes:
    """One event that carries a JSON object; some protocols name their events."""
    named = b"" if name is None else b"event: " + name.encode() + b"\n"
    return named + b"data: " + to_json(data) + b"\n\n"
