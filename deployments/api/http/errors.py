"""What an error means in HTTP. Each protocol turns the result into its own body, once."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from models.errors import (
    DeadlineExceededError,
    InvalidRequestError,
    ModelNotFoundError,
    ModelUnavailableError,
    OverloadedError,
    StowageError,
)

logger = logging.getLogger(__name__)

_STATUS: Mapping[type[BaseException], HTTPStatus] = {
    InvalidRequestError: HTTPStatus.BAD_REQUEST,
    ModelNotFoundError: HTTPStatus.NOT_FOUND,
    OverloadedError: HTTPStatus.TOO_MANY_REQUESTS,
    ModelUnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    DeadlineExceededError: HTTPStatus.GATEWAY_TIMEOUT,
    StowageError: HTTPStatus.INTERNAL_SERVER_ERROR,
}


@dataclass(frozen=True, slots=True)
class Problem:
    """An error, ready to be put into a protocol's words. ``kind`` is the class it came from."""

    status: int
    message: str
    kind: type[Exception]
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


ErrorFormat = Callable[[Problem], Mapping[str, object]]


def report(error: Exception, request_id: str) -> Problem:
    """Describe any error; log it with its traceback when the server is at fault.

    Of an error that nobody raised on purpose, the caller learns no more than the request id.
    """
    problem = _problem(error, request_id)
    if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error("request %s failed", request_id, exc_info=error)
    return problem


def respond(problem: Problem, error_format: ErrorFormat) -> Response:
    """The whole response for a problem that came before any output."""
    return JSONResponse(error_format(problem), problem.status, dict(problem.headers))


def _problem(error: Exception, request_id: str) -> Problem:
    if isinstance(error, StowageError):
        return _deliberate(error)
    if isinstance(error, HTTPException):
        return Problem(error.status_code, error.detail, HTTPException, headers=error.headers or {})
    message = f"internal error; the server's log has the details of request {request_id}"
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, message, type(error))


def _deliberate(error: StowageError) -> Problem:
    status = next(_STATUS[cls] for cls in type(error).__mro__ if cls in _STATUS)
    return Problem(
        status=status,
        message=str(error),
        kind=type(error),
        param=error.param if isinstance(error, InvalidRequestError) else None,
        headers=_retry_after(error.retry_after_s) if isinstance(error, ModelUnavailableError) else {},
    )


def _retry_after(seconds: float) -> Mapping[str, str]:
    return {"Retry-After": str(max(1, math.ceil(seconds)))}
