"""Server-sent events: a generation as a stream of text/event-stream messages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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

    Errors from before the first piece are raised, later ones are sent as the last event. The call's deadline
    covers the whole stream; by the time the last event is sent, or the task is cancelled, the work has stopped.
    """

    def __init__(self, dataplane: DataPlane, order: Order, call: Call, encoder: EventEncoder) -> None:
        self._dataplane = dataplane
        self._order = order
        self._call = call
        self._encoder = encoder
        self._started = False

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        try:
            await self._send_pieces(send)
            last = self._encoder.end()
        except Exception as error:
            if not self._started:
                raise
            last = self._encoder.error(report(error, self._call.request_id))
        await send({"type": "http.response.body", "body": last, "more_body": False})

    async def _send_pieces(self, send: Send) -> None:
        async with self._call.limit(), running(self._dataplane, self._order, self._call) as batches:
            self._started = True
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            async for pieces in batches:
                if events := self._encoder.pieces(pieces):
                    await send({"type": "http.response.body", "body": events, "more_body": True})


def event(data: Mapping[str, object]) -> bytes:
    """One event that carries a JSON object."""
    return b"data: " + json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"
