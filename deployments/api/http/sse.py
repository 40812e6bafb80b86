"""Server-sent events: a generation as a stream of text/event-stream messages."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from starlette.types import Receive, Scope, Send

from deployments.api.http.errors import Problem, report
from deployments.api.http.generation import Order, Piece, running
from deployments.dataplane.call import Call
from deployments.dataplane.operations import DataPlane

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class EventEncoder(Protocol):
    """How a protocol writes a generation; returns whole events, or nothing."""

    def pieces(self, pieces: Sequence[Piece]) -> bytes:
        """The events for what has just been generated."""

    def end(self) -> bytes:
        """The events after a complete generation."""

    def error(self, problem: Problem) -> bytes:
        """The event that ends a broken one."""


class EventStream:
    """An ASGI response that runs an order and sends its pieces as they come.

    Errors from before the first piece are raised, later ones are sent as the last event. While the call waits for
    a model to be up, comments say so; from the first of them on the answer has begun, and an error is an event.
    The call's deadline covers the whole stream; by the time the last event is sent, or the task is cancelled, the
    work has stopped.
    """

    def __init__(self, dataplane: DataPlane, order: Order, call: Call, encoder: EventEncoder) -> None:
        self._dataplane = dataplane
        self._order = order
        self._call = call
        self._encoder = encoder

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        out = _Output(send)
        try:
            await self._send_pieces(out)
            last = self._encoder.end()
        except Exception as error:
            await out.end_comments()
            if not out.started:
                raise
            self._call.tally.error = error
            last = self._encoder.error(report(error, self._call.request_id))
        finally:
            out.close()
        await out.send(last, more=False)

    async def _send_pieces(self, out: _Output) -> None:
        call = self._call.telling(out.comment)
        async with call.limit(), running(self._dataplane, self._order, call) as batches:
            await out.end_comments()
            async for pieces in batches:
                if events := self._encoder.pieces(pieces):
                    await out.send(events)


class _Output:
    """The response's body: comments, as long as there is nothing else to send, and then events."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._comments: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._commenting: asyncio.Task[None] | None = None
        self.started = False

    def comment(self, progress: object) -> None:
        """Tell the client; clients of server-sent events pass it over."""
        line = " ".join(str(progress).split())
        self._comments.put_nowait(f": {line}\n\n".encode())
        if self._commenting is None:
            self._commenting = asyncio.create_task(self._send_comments())

    async def end_comments(self) -> None:
        """Return when no comment is being sent, nor will be."""
        if self._commenting is not None:
            self._comments.put_nowait(None)
            await self._commenting
            self._commenting = None

    def close(self) -> None:
        """Nobody listens any more, or everything has been said."""
        if self._commenting is not None:
            self._commenting.cancel()

    async def send(self, body: bytes, *, more: bool = True) -> None:
        """Send whole events, after the start of the response if they are the first."""
        if not self.started:
            self.started = True
            await self._send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def _send_comments(self) -> None:
        while (comment := await self._comments.get()) is not None:
            await self.send(comment)
