"""What a client gets whose answer the router cannot give any more: the error of its protocol, from the proxy."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.api.http.errors import ErrorFormat, report, respond
from deployments.api.http.event import event
from deployments.dataplane.headers import REQUEST_ID_HEADER
from models.errors import DeadlineExceededError, ModelUnavailableError, OverloadedError, StowageError

_EVENTS = "text/event-stream"
_SERVES_OWN = "text/plain"
"""Serve's proxy writes its errors so; no answer of the router is of this type."""

_MAX_MESSAGE_CHARS = 500
_LOST = "the router replica that had this request has ended before its answer was complete"


class LostAnswerMiddleware:
    """For Serve's proxy, where a router replica that dies leaves nothing, half a stream, or Serve's plain text.

    ``is_for_router`` says, once the proxy has found that out, whether the request is for Stowage's router: answers
    of other applications pass as they are.
    """

    def __init__(
        self, app: ASGIApp, is_for_router: Callable[[], bool], format_of: Callable[[str], ErrorFormat]
    ) -> None:
        self._app = app
        self._is_for_router = is_for_router
        self._format_of = format_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        answer = _Answer(send, self._is_for_router)
        await self._app(scope, receive, answer.send)
        error = answer.missing()
        if error is None or not self._is_for_router():
            return None
        error_format = self._format_of(scope["path"].removeprefix(scope.get("root_path", "")))
        problem = report(error, Headers(scope=scope).get(REQUEST_ID_HEADER, ""))
        if not answer.has_begun:
            return await respond(problem, error_format)(scope, receive, send)
        last = event(error_format.body(problem), error_format.event)
        return await send({"type": "http.response.body", "body": last, "more_body": False})


class _Answer:
    """Passes on what the application sends, but for the proxy's own errors, which it keeps."""

    def __init__(self, send: Send, is_for_router: Callable[[], bool]) -> None:
        self._send = send
        self._is_for_router = is_for_router
        self._status = 0
        self._kept: list[bytes] | None = None
        self._is_stream = False
        self._is_whole = False
        self.has_begun = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._begin(message)
        elif message["type"] == "http.response.body":
            self._is_whole = not message.get("more_body", False)
            if self._kept is not None:
                self._kept.append(message.get("body", b""))
        if self._kept is None:
            await self._send(message)

    def missing(self) -> StowageError | None:
        """Why there has to be another answer, or an end of the one that has begun; None if there has not."""
        if self._kept is not None:
            return _own_error(self._status, b"".join(self._kept).decode(errors="replace"))
        if self.has_begun and (self._is_whole or not self._is_stream):
            return None  # of half a body that is no stream the connection's end tells
        return ModelUnavailableError(_LOST, remedy="send it again", retry_after_s=1)

    def _begin(self, message: Message) -> None:
        self._status = message["status"]
        kind = Headers(raw=message["headers"]).get("content-type", "")
        if self._status >= HTTPStatus.BAD_REQUEST and kind.startswith(_SERVES_OWN) and self._is_for_router():
            self._kept = []
            return
        self.has_begun = True
        self._is_stream = kind.startswith(_EVENTS)


def _own_error(status: int, text: str) -> StowageError:
    """Of Serve's proxy: 408 past its time limit, 429 and 503 when it has nowhere to send a request."""
    said = f"Ray Serve: {text[:_MAX_MESSAGE_CHARS]}"
    if status == HTTPStatus.REQUEST_TIMEOUT:
        return DeadlineExceededError(said)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return OverloadedError(said, retry_after_s=1)
    return ModelUnavailableError(said, retry_after_s=1)
