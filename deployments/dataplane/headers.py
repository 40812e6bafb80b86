"""What a caller says of a call beside its body: HTTP headers or gRPC metadata, their names in lower case."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from deployments.identity.caller import Priority
from models.errors import InvalidRequestError

REQUEST_ID_HEADER = "x-request-id"
TIMEOUT_HEADER = "x-request-timeout"
AUTHORIZATION_HEADER = "authorization"
KEY_HEADER = "x-api-key"
PRIORITY_HEADER = "x-priority"
SECRET_HEADERS = frozenset({AUTHORIZATION_HEADER, KEY_HEADER})

_REQUEST_ID = re.compile(r"[\x20-\x7e]{1,128}")
_BEARER = "bearer "


def is_request_id(text: str) -> bool:
    """Whether a caller's id can be taken: it comes back in a header and stands in logs."""
    return _REQUEST_ID.fullmatch(text) is not None


def check_request_id(headers: Mapping[str, str]) -> None:
    """InvalidRequestError for a caller's id that cannot be taken."""
    given = headers.get(REQUEST_ID_HEADER)
    if given is not None and not is_request_id(given):
        raise InvalidRequestError(
            f"{REQUEST_ID_HEADER}: {given[:128]!r} is not 1 to 128 printable ASCII characters",
            remedy="send another id, or none and read the one in the response",
            param=REQUEST_ID_HEADER,
        )


def check_headers(headers: Mapping[str, str]) -> None:
    """InvalidRequestError for what no call may say of itself."""
    check_request_id(headers)
    _check_priority(headers)


def timeout_s(headers: Mapping[str, str], maximum_s: float) -> float | None:
    """Seconds that the caller gives the call, None where it gives none; InvalidRequestError for no such number."""
    given = headers.get(TIMEOUT_HEADER)
    if given is None:
        return None
    seconds = _positive_number(given)
    if seconds is None or seconds > maximum_s:
        raise InvalidRequestError(
            f"{TIMEOUT_HEADER}: {given!r} is not a number of seconds above 0 and up to {maximum_s:g}",
            param=TIMEOUT_HEADER,
        )
    return seconds


def _check_priority(headers: Mapping[str, str]) -> None:
    given = headers.get(PRIORITY_HEADER)
    if given is not None and given not in set(Priority):
        raise InvalidRequestError(
            f"{PRIORITY_HEADER}: {given[:80]!r} is no priority",
            remedy=f"known: {', '.join(Priority)}",
            param=PRIORITY_HEADER,
        )


def presented_key(headers: Mapping[str, str]) -> str | None:
    """The API key: OpenAI's clients send a bearer token, Anthropic's the other header."""
    authorization = headers.get(AUTHORIZATION_HEADER, "")
    if authorization[: len(_BEARER)].lower() == _BEARER:
        return authorization[len(_BEARER) :].strip()
    return headers.get(KEY_HEADER)


def _positive_number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number > 0 else None
