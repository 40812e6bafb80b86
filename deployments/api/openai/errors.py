"""Errors in OpenAI's shape."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from typing_extensions import TypedDict

from deployments.api.http.errors import ErrorFormat, Problem
from models.errors import (
    AuthenticationError,
    ConfigError,
    ConflictError,
    ContextLengthError,
    DeadlineExceededError,
    DoesNotFitError,
    EngineError,
    ModelNotFoundError,
    ModelUnavailableError,
    OverloadedError,
    PermissionDeniedError,
    QuotaExceededError,
    StateUnavailableError,
    StoreError,
    UnsupportedOptionError,
    VersionNotFoundError,
    WrongTaskError,
)

_CODE: Mapping[type[BaseException], str] = {
    ContextLengthError: "context_length_exceeded",
    UnsupportedOptionError: "unsupported_parameter",
    WrongTaskError: "wrong_task",
    AuthenticationError: "invalid_api_key",
    PermissionDeniedError: "insufficient_permissions",
    ModelNotFoundError: "model_not_found",
    VersionNotFoundError: "version_not_found",
    ConflictError: "conflict",
    DoesNotFitError: "does_not_fit",
    ConfigError: "invalid_configuration",
    StoreError: "store_error",
    QuotaExceededError: "rate_limit_exceeded",
    OverloadedError: "overloaded",
    ModelUnavailableError: "model_unavailable",
    StateUnavailableError: "state_unavailable",
    DeadlineExceededError: "deadline_exceeded",
    EngineError: "engine_error",
}


_BUDGET = "insufficient_quota"


class ErrorDetail(TypedDict):
    """``code`` is None for errors that have no name of their own."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(TypedDict):
    """What every failed call returns."""

    error: ErrorDetail


def error_body(problem: Problem) -> ErrorBody:
    """The body, or the stream's last event, for a problem."""
    return ErrorBody(
        error=ErrorDetail(
            message=problem.message,
            type=_type(problem),
            param="model" if issubclass(problem.kind, ModelNotFoundError) else problem.param,
            code=_code(problem),
        )
    )


OPENAI_ERRORS = ErrorFormat(error_body)


def _type(problem: Problem) -> str:
    if problem.is_budget:
        return _BUDGET
    if problem.status == HTTPStatus.TOO_MANY_REQUESTS:
        return "rate_limit_error"
    return "invalid_request_error" if problem.status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"


def _code(problem: Problem) -> str | None:
    if problem.is_budget:
        return _BUDGET
    return next((_CODE[cls] for cls in problem.kind.__mro__ if cls in _CODE), None)
