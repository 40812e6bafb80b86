"""What a call has come to, as counts and times."""

from __future__ import annotations

from dataclasses import replace

import pytest
from starlette.exceptions import HTTPException

from deployments.audit.record import Outcome
from deployments.dataplane.call import Attempt, Call, Reason, Tally
from deployments.dataplane.door import Ending
from deployments.identity.caller import ANONYMOUS, NOBODY
from deployments.metrics import router_rows as rows
from deployments.metrics.calls import CallMetrics
from models.errors import AuthenticationError, OverloadedError, QuotaExceededError
from models.types import VersionId
from tests.unit.deployments.metrics.reported import Reported, series

M1, M2 = VersionId("m", "1"), VersionId("m", "2")
STARTED = 100.0
OK = Ending(200, Outcome.OK)


def a_call(**tally: object) -> Call:
    known = Tally(protocol="openai", operation="generate")
    return Call("r", 60, STARTED + 60, STARTED, ANONYMOUS, tally=replace(known, **tally))  # type: ignore[arg-type]


def answered() -> Call:
    """By m@2, after a retry."""
    return a_call(
        version=M2,
        decisions=[(M1, Reason.ROUTE), (M2, Reason.RETRY)],
        attempts=[Attempt(M1, "model_unavailable", 0.5), Attempt(M2, "ok", 1.0)],
        queue_s=0.25,
        first_output_at=STARTED + 2,
        input_tokens=7,
        output_tokens=3,
        cost_nano=500_000_000,
    )


def counted(*ended: tuple[Call, Ending]) -> dict[tuple[str, tuple[str, ...]], float]:
    metrics = CallMetrics()
    for call, ending in ended:
        metrics.left(call, ending, STARTED + 5)
    added = metrics.counts.take()
    metrics.counts.tell(added)  # Ray checks the labels
    return {(row.name, labels): amount for (row, labels), amount in added.items() if amount}


def test_an_answer_is_counted_with_its_tokens_decisions_and_attempts() -> None:
    found = counted((answered(), OK), (answered(), OK))
    who = ("m", "2", "default")
    assert found == {
        (rows.REQUESTS.name, (*who, "openai", "generate", "ok", "")): 2,
        (rows.PROMPT_TOKENS.name, who): 14,
        (rows.COMPLETION_TOKENS.name, who): 6,
        (rows.COST.name, who): 1.0,
        (rows.DECISIONS.name, ("m", "1", "route")): 2,
        (rows.DECISIONS.name, ("m", "2", "retry")): 2,
        (rows.ATTEMPTS.name, ("m", "1", "model_unavailable")): 2,
        (rows.ATTEMPTS.name, ("m", "2", "ok")): 2,
    }


def test_its_times_are_observed(reported: Reported) -> None:
    counted((answered(), OK))
    version = {"model": "m", "version": "2"}
    assert reported.observed == [
        (series(rows.REQUEST_DURATION.name, **version, operation="generate", outcome="ok"), 5.0),
        (series(rows.QUEUE_TIME.name, **version, operation="generate"), 0.25),
        (series(rows.FIRST_TOKEN.name, **version), 2.0),
    ]


def test_a_request_that_was_refused_in_the_queue_is_one_of_the_version_it_was_for(reported: Reported) -> None:
    error = OverloadedError("its queue is full")
    found = counted((a_call(decisions=[(M1, Reason.ROUTE)]), Ending(429, Outcome.REFUSED, error)))
    assert found == {
        (rows.REQUESTS.name, ("m", "1", "default", "openai", "generate", "refused", "overloaded")): 1,
        (rows.DECISIONS.name, ("m", "1", "route")): 1,
    }
    assert [name for (name, _), _ in reported.observed] == [rows.REQUEST_DURATION.name]


def test_a_limit_that_refuses_is_counted_without_the_key() -> None:
    error = QuotaExceededError("none left", limit="tokens_per_day", scope="key")
    found = counted((a_call(), Ending(429, Outcome.REFUSED, error)))
    assert found[rows.LIMIT_REFUSALS.name, ("key", "tokens_per_day", "default")] == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [(HTTPException(404), "unroutable"), (AuthenticationError("a key is needed"), "authentication")],
)
def test_what_asks_no_model_has_neither_the_callers_path_nor_a_version(
    reported: Reported, error: Exception, code: str
) -> None:
    call = replace(a_call(operation="/v1/anything/at/all"), caller=NOBODY)
    found = counted((call, Ending(404, Outcome.REFUSED, error)))
    assert found == {(rows.REQUESTS.name, ("", "", "", "openai", "other", "refused", code)): 1}
    assert reported.observed == []


def test_a_defect_of_ours_is_internal() -> None:
    found = counted((a_call(), Ending(500, Outcome.FAILED, KeyError("x"))))
    assert found == {(rows.REQUESTS.name, ("", "", "default", "openai", "generate", "failed", "internal")): 1}


def test_an_embedding_has_no_first_token(reported: Reported) -> None:
    call = replace(answered(), tally=replace(answered().tally, operation="embed"))
    counted((call, OK))
    assert rows.FIRST_TOKEN.name not in [name for (name, _), _ in reported.observed]


@pytest.mark.parametrize(("agrees", "said"), [(True, "same"), (False, "different"), (None, "unknown")])
def test_a_copy_is_no_request(reported: Reported, agrees: bool | None, said: str) -> None:
    call = a_call(shadow_of="r", version=M2, decisions=[(M2, Reason.SHADOW)], agrees=agrees, input_tokens=7)
    assert counted((call, OK)) == {
        (rows.SHADOWS.name, ("m", "2", "ok", said)): 1,
        (rows.DECISIONS.name, ("m", "2", "shadow")): 1,
    }
    assert reported.observed == []


def test_cold_starts_skipped_copies_and_streams(reported: Reported) -> None:
    metrics = CallMetrics()
    metrics.woke(M1, 3.0)
    metrics.woke(M1, None)
    metrics.shadow_skipped(M2)
    metrics.stream_opened(M1)
    metrics.token_gap(M1, 0.02)
    metrics.stream_closed(M1)
    assert metrics.streams == {M1: 0}
    assert {labels: amount for (_, labels), amount in metrics.counts.take().items()} == {
        ("m", "1", "up"): 1,
        ("m", "1", "gave_up"): 1,
        ("m", "2", "skipped", "unknown"): 1,
    }
    version = {"model": "m", "version": "1"}
    assert reported.observed == [
        (series(rows.COLD_START_DURATION.name, **version), 3.0),
        (series(rows.INTER_TOKEN.name, **version), 0.02),
    ]
