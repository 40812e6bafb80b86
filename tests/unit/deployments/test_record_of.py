"""A call's end as a line of the audit log: who, what, by whom, how long, and no more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deployments.audit.record import Charge, Outcome, RequestRecord, encode_record
from deployments.dataplane.call import Attempt, Call, Tally
from deployments.dataplane.door import Ending
from deployments.identity.caller import Caller
from deployments.limits.limit_set import Counter, LimitName, ScopeKind
from deployments.record_of import record_of
from models.errors import ModelUnavailableError
from models.types import VersionId

NOW_S = 1_800_000_000.0
M1, M2 = VersionId("m", "1"), VersionId("m", "2")
ANSWERED = Tally(
    protocol="openai",
    operation="generate",
    asked="chat",
    version=M2,
    attempts=[Attempt(M1, "model_unavailable", 0.25), Attempt(M2, "ok", 0.5, "chat")],
    queue_s=0.125,
    engine_s=2.0,
    first_output_at=101.5,
    input_tokens=7,
    output_tokens=3,
    cost_nano=9,
    charges={Counter(ScopeKind.KEY, "ab12cd34", LimitName.TOKENS_PER_DAY, 1_799_971_200)},
)
CALL = Call("r1", 60.0, 160.0, 100.0, Caller("ab12cd34", "acme", "ann"), {}, tally=ANSWERED)
OK = Ending(200, Outcome.OK, streamed=True)


def record(call: Call = CALL, ending: Ending = OK) -> RequestRecord:
    return record_of(call, ending, "router-1", 104.0, NOW_S)


def test_who_asked_for_what_and_what_answered() -> None:
    made = record()
    assert (made.id, made.replica, made.protocol, made.operation) == ("r1", "router-1", "openai", "generate")
    assert (made.key, made.owner, made.tenant) == ("ab12cd34", "ann", "acme")
    assert (made.asked, made.model, made.version) == ("chat", "m", "2")
    assert [(each.target, each.outcome, each.ms, each.rollout) for each in made.attempts] == [
        ("m@1", "model_unavailable", 250, None),
        ("m@2", "ok", 500, "chat"),
    ]
    assert (made.outcome, made.status, made.streamed, made.error) == (Outcome.OK, 200, True, None)


def test_what_it_took() -> None:
    made = record()
    assert made.time.timestamp() == NOW_S - 4
    assert (made.queue_ms, made.engine_ms, made.first_token_ms, made.total_ms) == (125, 2000, 1500, 4000)
    assert (made.input_tokens, made.output_tokens, made.cost_nano) == (7, 3, 9)
    assert made.charges == (Charge("key", "ab12cd34", "tokens_per_day", 1_799_971_200),)


def test_what_never_reached_a_model_has_no_times_of_one() -> None:
    made = record(replace(CALL, caller=Caller(None, "default"), tally=Tally("oip", "/v2/health/live")))
    assert (made.queue_ms, made.engine_ms, made.first_token_ms) == (None, None, None)
    assert (made.model, made.version, made.key, made.owner) == (None, None, None, None)


def test_only_a_generation_has_a_first_token() -> None:
    assert record(replace(CALL, tally=replace(ANSWERED, operation="embed"))).first_token_ms is None


@pytest.mark.parametrize(
    ("error", "code"),
    [(ModelUnavailableError("it sleeps"), "model_unavailable"), (KeyError("a prompt"), "internal")],
)
def test_an_error_is_a_code_and_never_its_words(error: Exception, code: str) -> None:
    made = record(ending=Ending(503, Outcome.FAILED, error))
    assert made.error == code
    assert str(error.args[0]).encode() not in encode_record(made)


def test_the_clients_trace_is_named() -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    made = record(replace(CALL, attributes={"traceparent": f"00-{trace}-b7ad6b7169203331-01"}))
    assert made.trace_id == trace
    assert record(replace(CALL, attributes={"traceparent": "00-nonsense-b7ad6b7169203331-01"})).trace_id is None


def test_texts_are_there_where_a_route_keeps_them() -> None:
    assert record().text is None
    assert record(replace(CALL, tally=replace(ANSWERED, texts=[("hä?", "ja")]))).text == '[["hä?", "ja"]]'


def test_a_shadow_says_of_what() -> None:
    made = record(replace(CALL, tally=replace(ANSWERED, shadow_of="r0", agrees=False)))
    assert (made.shadow_of, made.agrees) == ("r0", False)
