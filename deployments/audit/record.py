"""What the journal holds: one record a line. Never a key, only its public prefix."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Literal, NamedTuple

from pydantic import AwareDatetime, Discriminator, JsonValue, PlainSerializer, TypeAdapter

MAX_NAME_CHARS = 256


def format_time(time: datetime) -> str:
    """``2026-07-31T09:05:00.123Z``: UTC, to the millisecond, so that text sorts as time does."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Time = Annotated[AwareDatetime, PlainSerializer(format_time)]
Milliseconds = Annotated[float, PlainSerializer(lambda value: round(value, 3))]


class Outcome(StrEnum):
    """How a request ended."""

    OK = "ok"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at one version: ``outcome`` is ``ok`` or the error's code.

    ``rollout`` is the name whose rollout chose the version; None where the caller or the policy did.
    """

    target: str
    outcome: str
    ms: Milliseconds
    rollout: str | None = None


class Charge(NamedTuple):
    """One counter that a request was charged to. How much follows from the record and the unit."""

    kind: str
    scope: str
    unit: str
    window_start: int
    """In seconds since 1970, UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """One finished request, whatever became of it. Times are None where the request never came so far."""

    id: str
    time: Time
    """When it arrived."""
    replica: str
    protocol: str
    """openai, oip, anthropic, grpc or admin."""
    operation: str
    """generate, embed, infer and so on: what the data plane was asked for. Else the path, cut as ``asked`` is."""
    tenant: str
    outcome: Outcome
    status: int
    """The HTTP status, or the gRPC code where ``protocol`` is grpc."""
    total_ms: Milliseconds
    key: str | None = None
    owner: str | None = None
    asked: str | None = None
    """The model as the request names it, cut at 256 characters: it is the caller's text."""
    model: str | None = None
    version: str | None = None
    attempts: tuple[Attempt, ...] = ()
    input_tokens: int = 0
    output_tokens: int = 0
    cost_nano: int = 0
    charges: tuple[Charge, ...] = ()
    queue_ms: Milliseconds | None = None
    engine_ms: Milliseconds | None = None
    first_token_ms: Milliseconds | None = None
    streamed: bool = False
    error: str | None = None
    shadow_of: str | None = None
    agrees: bool | None = None
    """Of a shadow copy: whether its answer was the original's. None where nothing could be compared."""
    trace_id: str | None = None
    text: str | None = None
    kind: Literal["request"] = "request"

    def __post_init__(self) -> None:
        if len(self.operation) > MAX_NAME_CHARS:
            object.__setattr__(self, "operation", self.operation[:MAX_NAME_CHARS])
        if self.asked is not None and len(self.asked) > MAX_NAME_CHARS:
            object.__setattr__(self, "asked", self.asked[:MAX_NAME_CHARS])


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminRecord:
    """One administrative change: ``actor`` did ``action`` to ``subject``."""

    id: str
    time: Time
    actor: str
    action: str
    subject: str
    details: dict[str, JsonValue]
    kind: Literal["admin"] = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentStart:
    """The first line of every segment: what it goes on from."""

    time: Time
    writer: str
    number: int
    """1 for a writer's first segment."""
    follows: str
    """The hash of the line before it, in the segment before; 64 zeros where there is none."""
    torn_bytes: int = 0
    """Bytes of half a line at the end of the segment before, left by a crash."""
    kind: Literal["segment"] = "segment"


@dataclass(frozen=True, slots=True, kw_only=True)
class LostRecords:
    """``count`` records could not be written and no longer be kept in memory."""

    time: Time
    since: Time
    count: int
    reason: str
    kind: Literal["lost"] = "lost"


Record = RequestRecord | AdminRecord | SegmentStart | LostRecords

_RECORDS: TypeAdapter[Record] = TypeAdapter(Annotated[Record, Discriminator("kind")])
_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def encode_record(record: Record) -> bytes:
    """One JSON object on one line, as UTF-8; what is None is left out.

    Half a surrogate pair, which a request's JSON can smuggle in and UTF-8 cannot hold, becomes ``?``.
    """
    return _JSON.encode(_RECORDS.dump_python(record, exclude_none=True)).encode(errors="replace")


def decode_record(line: bytes) -> Record:
    """The record of a line. pydantic's ValidationError where it is none; fields of later releases are ignored."""
    return _RECORDS.validate_json(line)
