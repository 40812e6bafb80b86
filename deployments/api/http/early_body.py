"""A request's body that reaches the router together with its headers.

Serve's proxy sends a replica the headers alone. The replica then asks the proxy for the body, and once more for
what comes after it, with a call between processes each time: a good part of what a small request costs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SCOPE_KEY = "stowage.body"
_MAX_BYTES = 2**16
_PATIENCE_S = 0.02  # the body of a small request comes with its headers, or right behind them


class EarlyBodyMiddleware:
    """For Serve's proxy: puts a body that is there at once into the scope, which the proxy sends on.

    ``is_for_router`` says, when the proxy has found whom the request is for, whether that one looks for the body
    in the scope; all others receive it as ever. So does the router what is larger than 64 KiB, or comes late.
    """

    def __init__(self, app: ASGIApp, is_for_router: Callable[[], bool]) -> None:
        self._app = app
        self._is_for_router = is_for_router

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        first = await _first(receive) if scope["type"] == "http" else None
        if first is None:
            return await self._app(scope, receive, send)
        unread = [first]
        is_early = _is_whole(first)
        if is_early:
            scope[_SCOPE_KEY] = first.get("body", b"")

        async def receive_rest() -> Message:
            if unread:
                message = unread.pop()
                if not (is_early and self._is_for_router()):
                    return message
            return await receive()

        return await self._app(scope, receive_rest, send)


def take_early_body(scope: Scope) -> bytes | None:
    """The whole body, if it came with the scope; it does not come again."""
    body: bytes | None = scope.pop(_SCOPE_KEY, None)
    return body


async def _first(receive: Receive) -> Message | None:
    """None where it lets itself be waited for; it can be received later then."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            return await receive()
    except TimeoutError:
        return None


def _is_whole(message: Message) -> bool:
    return (
        message["type"] == "http.request"
        and not message.get("more_body", False)
        and len(message.get("body", b"")) <= _MAX_BYTES
    )
