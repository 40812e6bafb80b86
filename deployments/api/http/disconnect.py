"""Work stops when nobody waits for it: ASGI middleware that ties a request's task to its connection."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.api.http.body import read_body
from deployments.api.http.call import call_of
from deployments.api.http.early_body import take_early_body


class ConnectionMiddleware:
    """Reads the body, then runs the application in a task that is cancelled when the client goes away.

    A plain ASGI server reports that by ``http.disconnect``; Ray Serve cancels the task that runs this. Both reach
    the application as one thing, the cancellation of its task, whether or not it has begun to answer. Where the
    server cancels (``is_cancelled``), nobody has to listen for the client's going.
    """

    def __init__(self, app: ASGIApp, max_body_bytes: int, is_cancelled: bool = False) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._is_cancelled = is_cancelled

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        early = take_early_body(scope)
        if early is not None:
            receive = _replayed(early, receive)
        try:
            call = call_of(scope)
            async with call.limit():
                body = await read_body(call.attributes, receive, self._max_body_bytes)
        except ClientDisconnect:
            return None
        if self._is_cancelled:
            return await self._app(scope, _replayed(body, receive), send)
        return await _Connection(body, receive, send).run(self._app, scope)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """What has been read already, and then what comes after it."""
    unread = [body]

    async def replay() -> Message:
        return {"type": "http.request", "body": unread.pop(), "more_body": False} if unread else await receive()

    return replay


class _Connection:
    """The client's side of one request whose body has been read."""

    def __init__(self, body: bytes, receive: Receive, send: Send) -> None:
        self._unread: bytes | None = body
        self._receive = receive
        self._send = send

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """Run the application to its end, or cancel it at the client's."""
        gone = asyncio.create_task(self._disconnected())
        work = asyncio.create_task(self._work(app, scope, gone))
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
            await (work if work.done() else gone)
        finally:
            work.cancel()
            gone.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)

    async def _work(self, app: ASGIApp, scope: Scope, gone: asyncio.Task[Message]) -> None:
        async def receive() -> Message:
            if self._unread is None:
                return await asyncio.shield(gone)
            body, self._unread = self._unread, None
            return {"type": "http.request", "body": body, "more_body": False}

        await app(scope, receive, self._send)

    async def _disconnected(self) -> Message:
        while (message := await self._receive())["type"] != "http.disconnect":
            pass
        return message
