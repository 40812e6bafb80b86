"""A call that has ended, as a record of the audit journal."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

from deployments.audit.record import Attempt, Charge, RequestRecord
from deployments.dataplane.call import Call
from deployments.dataplane.door import Ending

_MS = 1000.0
_WORD_START = re.compile(r"(?<!^)(?=[A-Z])")
_TRACE_HEADER = "traceparent"


def record_of(call: Call, ending: Ending, replica: str, now: float, now_unix_s: float) -> RequestRecord:
    """``now`` is the event loop's clock, ``now_unix_s`` the same moment since the epoch."""
    tally, caller = call.tally, call.caller
    total_s = now - call.started
    return RequestRecord(
        id=call.request_id,
        time=datetime.fromtimestamp(now_unix_s - total_s, UTC),
        replica=replica,
        protocol=tally.protocol,
        operation=tally.operation,
        key=caller.key,
        owner=caller.owner or None,
        tenant=caller.tenant,
        asked=tally.asked,
        model=tally.version.name if tally.version else None,
        version=tally.version.version if tally.version else None,
        attempts=tuple(Attempt(str(each.target), each.outcome, each.seconds * _MS) for each in tally.attempts),
        input_tokens=tally.input_tokens,
        output_tokens=tally.output_tokens,
        cost_nano=tally.cost_nano,
        charges=tuple(Charge(each.kind, each.scope, each.limit, each.window_start) for each in tally.charges),
        queue_ms=tally.queue_s * _MS if tally.attempts else None,
        engine_ms=tally.engine_s * _MS if tally.attempts else None,
        first_token_ms=_first_token_ms(call),
        total_ms=total_s * _MS,
        streamed=ending.streamed,
        outcome=ending.outcome,
        status=ending.status,
        error=error_code(type(ending.error)) if ending.error is not None else None,
        shadow_of=tally.shadow_of,
        agrees=tally.agrees,
        trace_id=_trace_id(call.attributes.get(_TRACE_HEADER)),
        text=json.dumps(tally.texts, ensure_ascii=False) if tally.texts else None,
    )


def error_code(kind: type[Exception]) -> str:
    """``ModelUnavailableError`` as ``model_unavailable``; of an error that is not ours, ``internal``."""
    if kind.__module__ != "models.errors":
        return "internal"
    return _WORD_START.sub("_", kind.__name__.removesuffix("Error")).lower()


def _first_token_ms(call: Call) -> float | None:
    first = call.tally.first_output_at
    if first is None or call.tally.operation != "generate":
        return None
    return (first - call.started) * _MS


def _trace_id(header: str | None) -> str | None:
    """The trace of W3C's ``version-trace-parent-flags``."""
    parts = header.split("-") if header else []
    return parts[1] if len(parts) >= 4 and len(parts[1]) == 32 else None
