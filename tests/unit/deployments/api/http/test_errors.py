"""What each error means in HTTP, and what each protocol says of it."""

from __future__ import annotations

import pytest

from deployments.api.anthropic.errors import ANTHROPIC_ERRORS
from deployments.api.anthropic.errors import error_body as anthropic_body
from deployments.api.http.errors import report, respond
from deployments.api.openai.errors import OPENAI_ERRORS
from deployments.api.openai.errors import error_body as openai_body
from models.errors import (
    AuthenticationError,
    DeadlineExceededError,
    EngineError,
    ModelUnavailableError,
    OverloadedError,
    PermissionDeniedError,
    QuotaExceededError,
    StateUnavailableError,
    StowageError,
)

CASES: list[tuple[StowageError, int, str, str, str]] = [
    (AuthenticationError("no key"), 401, "invalid_request_error", "invalid_api_key", "authentication_error"),
    (PermissionDeniedError("no"), 403, "invalid_request_error", "insufficient_permissions", "permission_error"),
    (QuotaExceededError("much"), 429, "rate_limit_error", "rate_limit_exceeded", "rate_limit_error"),
    (
        QuotaExceededError("much", is_budget=True),
        429,
        "insufficient_quota",
        "insufficient_quota",
        "rate_limit_error",
    ),
    (OverloadedError("full"), 429, "rate_limit_error", "overloaded", "overloaded_error"),
    (ModelUnavailableError("down"), 503, "server_error", "model_unavailable", "api_error"),
    (StateUnavailableError("away"), 503, "server_error", "state_unavailable", "api_error"),
    (DeadlineExceededError("late"), 504, "server_error", "deadline_exceeded", "timeout_error"),
    (EngineError("broken"), 500, "server_error", "engine_error", "api_error"),
]


@pytest.mark.parametrize(("error", "status", "kind", "code", "anthropic"), CASES)
def test_each_error_in_the_words_of_each_protocol(
    error: StowageError, status: int, kind: str, code: str, anthropic: str
) -> None:
    problem = report(error, "r-1")
    assert problem.status == status
    detail = openai_body(problem)["error"]
    assert (detail["type"], detail["code"]) == (kind, code)
    reply = anthropic_body(problem)
    assert (reply["error"]["type"], reply["request_id"]) == (anthropic, "r-1")


def test_anthropic_has_a_status_of_its_own_for_a_full_server() -> None:
    problem = report(OverloadedError("full"), "r-1")
    assert respond(problem, ANTHROPIC_ERRORS).status_code == 529
    assert respond(problem, OPENAI_ERRORS).status_code == 429


@pytest.mark.parametrize(
    ("seconds", "whole", "milliseconds"),
    [(0.25, "1", "250"), (2.0, "2", "2000"), (2.5, "3", "2500"), (0, "1", "1")],
)
@pytest.mark.parametrize("kind", [ModelUnavailableError, OverloadedError, QuotaExceededError])
def test_when_to_come_back(
    kind: type[ModelUnavailableError | QuotaExceededError], seconds: float, whole: str, milliseconds: str
) -> None:
    headers = respond(report(kind("later", retry_after_s=seconds), "r-1"), OPENAI_ERRORS).headers
    assert (headers["retry-after"], headers["retry-after-ms"]) == (whole, milliseconds)
    assert "x-should-retry" not in headers


def test_clients_do_not_retry_a_budget_that_is_spent() -> None:
    error = QuotaExceededError("spent", retry_after_s=86_400, is_budget=True)
    headers = respond(report(error, "r-1"), OPENAI_ERRORS).headers
    assert (headers["retry-after"], headers["x-should-retry"]) == ("86400", "false")


def test_a_missing_key_says_how_to_send_one() -> None:
    headers = respond(report(AuthenticationError("no key"), "r-1"), OPENAI_ERRORS).headers
    assert headers["www-authenticate"] == "Bearer"
    assert "retry-after" not in headers
