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
    AuthenticationError,
    ConfigError,
    ConflictError,
    DeadlineExceededError,
    InvalidRequestError,
    ModelNotFoundError,
    ModelUnavailableError,
    OverloadedError,
    PermissionDeniedError,
    QuotaExceededError,
    StateUnavailableError,
    StoreError,
    StowageError,
    VersionNotFoundError,
)

logger = logging.getLogger(__name__)

_STATUS: Mapping[type[BaseException], HTTPStatus] = {
    InvalidRequestError: HTTPStatus.BAD_REQUEST,
    AuthenticationError: HTTPStatus.UNAUTHORIZED,
    PermissionDeniedError: HTTPStatus.FORBIDDEN,
    ModelNotFoundError: HTTPStatus.NOT_FOUND,
    VersionNotFoundError: HTTPStatus.NOT_FOUND,
    ConflictError: HTTPStatus.CONFLICT,
    ConfigError: HTTPStatus.CONFLICT,
    StoreError: HTTPStatus.CONFLICT,
    QuotaExceededError: HTTPStatus.TOO_MANY_REQUESTS,
    OverloadedError: HTTPStatus.TOO_MANY_REQUESTS,
    ModelUnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    StateUnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    DeadlineExceededError: HTTPStatus.GATEWAY_TIMEOUT,
    StowageError: HTTPStatus.INTERNAL_SERVER_ERROR,
}


@dataclass(frozen=True, slots=True)
class Problem:
    """An error, ready to be put into a protocol's words. ``kind`` is the class it came from.

    ``is_budget``: a limit of a day or month is used up, so that trying again soon is of no use.
    """

    request_id: str
    status: int
    message: str
    kind: type[Exception]
    param: str | None = None
    is_budget: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ErrorFormat:
    """A protocol's words for problems; ``statuses``: the kinds of error for which it has a status of its own.

    ``event`` is the name of the event that ends a broken stream, where the protocol names its events.
    """

    body: Callable[[Problem], Mapping[str, object]]
    statuses: Mapping[type[Exception], int] = field(default_factory=dict)
    event: str | None = None

    def status(self, problem: Problem) -> int:
        return self.statuses.get(problem.kind, problem.status)


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
    return JSONResponse(error_format.body(problem), error_format.status(problem), dict(problem.headers))


def _problem(error: Exception, request_id: str) -> Problem:
    if isinstance(error, StowageError):
        return _deliberate(error, request_id)
    if isinstance(error, HTTPException):
        return Problem(request_id, error.status_code, error.detail, HTTPException, headers=error.headers or {})
    message = f"internal error; the server's log has the details of request {request_id}"
    return Problem(request_id, HTTPStatus.INTERNAL_SERVER_ERROR, message, type(error))


def _deliberate(error: StowageError, request_id: str) -> Problem:
    return Problem(
        request_id,
        status=next(_STATUS[cls] for cls in type(error).__mro__ if cls in _STATUS),
        message=str(error),
        kind=type(error),
        param=error.param if isinstance(error, InvalidRequestError) else None,
        is_budget=isinstance(error, QuotaExceededError) and error.is_budget,
        headers=_headers(error),
    )


def _headers(error: StowageError) -> Mapping[str, str]:
    match error:
        case AuthenticationError():
            return {"WWW-Authenticate": "Bearer"}
        case QuotaExceededError(is_budget=True):
            return {**_retry_after(error.retry_after_s), "x-should-retry": "false"}
        case ModelUnavailableError() | QuotaExceededError() | StateUnavailableError():
            return _retry_after(error.retry_after_s)
        case _:
            return {}


def _retry_after(seconds: float) -> Mapping[str, str]:
    """Whole seconds as HTTP has them, and milliseconds, which OpenAI's and Anthropic's clients prefer."""
    return {
        "Retry-After": str(max(1, math.ceil(seconds))),
        "retry-after-ms": str(max(1, math.ceil(seconds * 1000))),
    }
