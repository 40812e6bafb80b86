"""Errors in Anthropic's shape."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Literal

from typing_extensions import TypedDict

from deployments.api.http.errors import ErrorFormat, Problem
from models.errors import OverloadedError

OVERLOADED = 529
"""Anthropic's own status: the server is full, which is no fault of the caller's limits."""

_TYPE: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED: "authentication_error",
    HTTPStatus.FORBIDDEN: "permission_error",
    HTTPStatus.NOT_FOUND: "not_found_error",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "request_too_large",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error",
    HTTPStatus.GATEWAY_TIMEOUT: "timeout_error",
    OVERLOADED: "overloaded_error",
}


class AnthropicErrorDetail(TypedDict):
    """What went wrong; clients branch on ``type``."""

    type: str
    message: str


class ErrorReply(TypedDict):
    """What every failed call returns."""

    type: Literal["error"]
    error: AnthropicErrorDetail
    request_id: str


def error_body(problem: Problem) -> ErrorReply:
    """The body, or the stream's last event, for a problem."""
    detail = AnthropicErrorDetail(type=_type(ANTHROPIC_ERRORS.status(problem)), message=problem.message)
    return ErrorReply(type="error", error=detail, request_id=problem.request_id)


ANTHROPIC_ERRORS = ErrorFormat(error_body, {OverloadedError: OVERLOADED}, event="error")


def _type(status: int) -> str:
    if status in _TYPE:
        return _TYPE[status]
    return "invalid_request_error" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "api_error"
