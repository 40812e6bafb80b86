"""Errors in OpenAI's shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from deployments.api.http.errors import Problem
from models.errors import (
    ContextLengthError,
    DeadlineExceededError,
    EngineError,
    ModelNotFoundError,
    ModelUnavailableError,
    OverloadedError,
    UnsupportedOptionError,
    WrongTaskError,
)

_CODE: Mapping[type[BaseException], str] = {
    ContextLengthError: "context_length_exceeded",
    UnsupportedOptionError: "unsupported_parameter",
    WrongTaskError: "wrong_task",
    ModelNotFoundError: "model_not_found",
    OverloadedError: "overloaded",
    ModelUnavailableError: "model_unavailable",
    DeadlineExceededError: "deadline_exceeded",
    EngineError: "engine_error",
}


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
            type=_type(problem.status),
            param="model" if issubclass(problem.kind, ModelNotFoundError) else problem.param,
            code=next((_CODE[cls] for cls in problem.kind.__mro__ if cls in _CODE), None),
        )
    )


def _type(status: int) -> str:
    if status == 429:
        return "rate_limit_error"
    return "invalid_request_error" if status < 500 else "server_error"
