"""Pure ASGI middleware that every request passes: its id, and the shape of its errors."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.api.http.call import call_of
from deployments.api.http.errors import ErrorFormat, report, respond
from deployments.dataplane.headers import REQUEST_ID_HEADER, is_request_id

_REQUEST_ID_KEY = "stowage.request_id"


class RequestIdMiddleware:
    """Names every request, by the caller's id or a new one; ``in_response``: tells the caller."""

    def __init__(self, app: ASGIApp, in_response: bool) -> None:
        self._app = app
        self._in_response = in_response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
        request_id = given if is_request_id(given) else uuid.uuid4().hex
        scope[_REQUEST_ID_KEY] = request_id
        if not self._in_response:
            return await self._app(scope, receive, send)

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
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
            call_of(scope).tally.error = error
            response = respond(report(error, request_id_of(scope)), self._format_of(scope["path"]))
            await response(scope, receive, send)


def request_id_of(scope: Scope) -> str:
    """The id of the request that this ASGI scope belongs to."""
    return str(scope[_REQUEST_ID_KEY])
