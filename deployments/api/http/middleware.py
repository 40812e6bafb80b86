"""Pure ASGI middleware that every request passes: its id, the shape of its errors, its time limit."""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.api.http.call import put_call
from deployments.api.http.errors import ErrorFormat, report, respond
from deployments.api.http.settings import ApiSettings
from deployments.dataplane.call import Call
from models.errors import InvalidRequestError

REQUEST_ID_HEADER = "x-request-id"
TIMEOUT_HEADER = "x-request-timeout"
_REQUEST_ID_KEY = "stowage.request_id"
_REQUEST_ID = re.compile(r"[\x20-\x7e]{1,128}")


class RequestIdMiddleware:
    """Names every request, by the caller's id or a new one; ``in_response``: tells the caller."""

    def __init__(self, app: ASGIApp, in_response: bool) -> None:
        self._app = app
        self._in_response = in_response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        scope[_REQUEST_ID_KEY] = request_id

        async def send_named(message: Message) -> None:
            if self._in_response and message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            await send(message)

        return await self._app(scope, receive, send_named)


class ErrorMiddleware:
    """Turns every error into a response, in the format that belongs to the request's path."""

    def __init__(self, app: ASGIApp, format_of: Callable[[str], ErrorFormat]) -> None:
        self._app = app
        self._format_of = format_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        started = False

        async def send_watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, send_watched)
        except Exception as error:
            if started:
                raise
            response = respond(report(error, request_id_of(scope)), self._format_of(scope["path"]))
            await response(scope, receive, send)


class AdmissionMiddleware:
    """Reads what the headers ask of a call; refuses what cannot be granted."""

    def __init__(self, app: ASGIApp, settings: ApiSettings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            _check_request_id(headers.get(REQUEST_ID_HEADER))
            timeout_s = self._timeout_s(headers.get(TIMEOUT_HEADER))
            put_call(scope, Call.start(request_id_of(scope), timeout_s))
        await self._app(scope, receive, send)

    def _timeout_s(self, header: str | None) -> float:
        if header is None:
            return self._settings.request_timeout_s
        maximum = self._settings.max_request_timeout_s
        seconds = _positive_number(header)
        if seconds is None or seconds > maximum:
            raise InvalidRequestError(
                f"{TIMEOUT_HEADER}: {header!r} is not a number of seconds above 0 and up to {maximum:g}",
                param=TIMEOUT_HEADER,
            )
        return seconds


def request_id_of(scope: Scope) -> str:
    """The id of the request that this ASGI scope belongs to."""
    return str(scope[_REQUEST_ID_KEY])


def _check_request_id(header: str | None) -> None:
    if header is not None and not _REQUEST_ID.fullmatch(header):
        raise InvalidRequestError(
            f"{REQUEST_ID_HEADER}: {header[:128]!r} is not 1 to 128 printable ASCII characters",
            remedy="send another id, or none and read the one in the response",
            param=REQUEST_ID_HEADER,
        )


def _positive_number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number > 0 else None
