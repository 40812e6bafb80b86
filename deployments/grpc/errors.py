"""What an error means in gRPC."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

from grpc import StatusCode

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

RETRY_KEY = "retry-after-ms"

_CODES: Mapping[type[BaseException], StatusCode] = {
    InvalidRequestError: StatusCode.INVALID_ARGUMENT,
    AuthenticationError: StatusCode.UNAUTHENTICATED,
    PermissionDeniedError: StatusCode.PERMISSION_DENIED,
    ModelNotFoundError: StatusCode.NOT_FOUND,
    VersionNotFoundError: StatusCode.NOT_FOUND,
    ConflictError: StatusCode.FAILED_PRECONDITION,
    ConfigError: StatusCode.FAILED_PRECONDITION,
    StoreError: StatusCode.FAILED_PRECONDITION,
    QuotaExceededError: StatusCode.RESOURCE_EXHAUSTED,
    OverloadedError: StatusCode.RESOURCE_EXHAUSTED,
    ModelUnavailableError: StatusCode.UNAVAILABLE,
    StateUnavailableError: StatusCode.UNAVAILABLE,
    DeadlineExceededError: StatusCode.DEADLINE_EXCEEDED,
    StowageError: StatusCode.INTERNAL,
}

# The status and all trailing metadata share 8 KiB in gRPC's clients, and what is not ASCII takes up to 3 per byte.
_MAX_STATUS_CHARS = 6000
_UNCHANGED = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as a gRPC status. ``retry_after_s``: when to try again, None where that is not known."""

    code: StatusCode
    message: str
    retry_after_s: float | None = None

    @property
    def metadata(self) -> Mapping[str, str]:
        """The hint for the trailing metadata, in whole milliseconds."""
        if self.retry_after_s is None:
            return {}
        return {RETRY_KEY: str(max(1, math.ceil(self.retry_after_s * 1000)))}


def status_number(code: StatusCode) -> int:
    """The code as it is on the wire, and in the audit record."""
    number: int = code.value[0]
    return number


def report(error: Exception, request_id: str) -> Failure:
    """Describe any error; log it with its traceback when the server is at fault.

    Of an error that nobody raised on purpose, the caller learns no more than the request id.
    """
    failure = _failure(error, request_id)
    if failure.code is StatusCode.INTERNAL:
        logger.error("request %s failed", request_id, exc_info=error)
    return failure


def code_of(error: Exception) -> StatusCode:
    """The status code that belongs to any error."""
    return next((_CODES[cls] for cls in type(error).__mro__ if cls in _CODES), StatusCode.INTERNAL)


def _failure(error: Exception, request_id: str) -> Failure:
    if not isinstance(error, StowageError):
        message = f"internal error; the server's log has the details of request {request_id}"
        return Failure(StatusCode.INTERNAL, message)
    retry_after_s = None
    if isinstance(error, ModelUnavailableError | QuotaExceededError | StateUnavailableError):
        retry_after_s = error.retry_after_s
    return Failure(code_of(error), _shortened(str(error)), retry_after_s)


def _shortened(message: str) -> str:
    """What of the message a client can receive."""
    encoded = quote(message, safe=_UNCHANGED)
    if len(encoded) <= _MAX_STATUS_CHARS:
        return message
    return unquote(encoded[:_MAX_STATUS_CHARS].rstrip("%"), errors="ignore") + " ..."
