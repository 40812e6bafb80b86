"""A call that has ended, as a record of the audit journal."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from deployments.audit.record import Attempt, Charge, RequestRecord
from deployments.dataplane.call import Call
from deployments.dataplane.door import Ending
from deployments.tracing import trace_id
from models.errors import error_code

_MS = 1000.0


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
        attempts=tuple(
            Attempt(str(each.target), each.outcome, each.seconds * _MS, each.rollout) for each in tally.attempts
        ),
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
        error=error_code(ending.error) if ending.error is not None else None,
        shadow_of=tally.shadow_of,
        agrees=tally.agrees,
        trace_id=trace_id(call.attributes),
        text=json.dumps(tally.texts, ensure_ascii=False) if tally.texts else None,
    )


def _first_token_ms(call: Call) -> float | None:
    first = call.tally.first_output_at
    if first is None or call.tally.operation != "generate":
        return None
    return (first - call.started) * _MS
