"""The middleware of Serve's proxy, and the router behind it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from starlette.types import Message, Receive, Scope, Send

from deployments.api.app import build_app
from deployments.api.http.early_body import EarlyBodyMiddleware, take_early_body
from tests.unit.deployments.api.asgi import post_scope
from tests.unit.deployments.api.fake import FakeDataPlane
from tests.unit.deployments.api.live import SETTINGS

LATE_S = 0.1
GONE: Message = {"type": "http.disconnect"}


def part(body: bytes, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


class App:
    """Notes what it finds in the scope, and the first ``num_messages`` that it receives."""

    def __init__(self, num_messages: int) -> None:
        self._num_messages = num_messages
        self.early: bytes | None = None
        self.received: list[Message] = []

    async def __call__(self, scope: Scope, receive: Receive, _send: Send) -> None:
        self.early = take_early_body(scope)
        self.received = [await receive() for _ in range(self._num_messages)]


async def call(
    app: App, messages: list[Message], *, for_router: bool, late: bool = False, kind: str = "http"
) -> None:
    incoming = list(messages)

    async def receive() -> Message:
        if late:
            await asyncio.sleep(LATE_S)
        return incoming.pop(0)

    async def send(_: Message) -> None:
        raise AssertionError("nothing is sent")

    await EarlyBodyMiddleware(app, lambda: for_router)({"type": kind}, receive, send)


async def test_the_router_finds_a_small_body_in_the_scope_and_does_not_receive_it() -> None:
    app = App(1)
    await call(app, [part(b"{}"), GONE], for_router=True)
    assert (app.early, app.received) == (b"{}", [GONE])


async def test_no_body_is_a_body_too() -> None:
    app = App(1)
    await call(app, [part(b""), GONE], for_router=True)
    assert (app.early, app.received) == (b"", [GONE])


async def test_every_other_application_receives_what_it_always_did() -> None:
    app = App(2)
    await call(app, [part(b"{}"), GONE], for_router=False)
    assert app.received == [part(b"{}"), GONE]


@pytest.mark.parametrize("for_router", [True, False])
@pytest.mark.parametrize(
    "messages",
    [
        [part(b"a", more=True), part(b"b")],
        [part(b"a" * (2**16 + 1)), GONE],
        [GONE, GONE],
    ],
)
async def test_what_is_not_one_small_body_is_received(messages: list[Message], for_router: bool) -> None:
    app = App(2)
    await call(app, messages, for_router=for_router)
    assert (app.early, app.received) == (None, messages)


@pytest.mark.parametrize("for_router", [True, False])
async def test_a_body_that_comes_late_is_received_whole(for_router: bool) -> None:
    app = App(2)
    await call(app, [part(b"{}"), GONE], for_router=for_router, late=True)
    assert (app.early, app.received) == (None, [part(b"{}"), GONE])


async def test_a_websocket_passes() -> None:
    app = App(1)
    await call(app, [{"type": "websocket.connect"}], for_router=True, kind="websocket")
    assert (app.early, app.received) == (None, [{"type": "websocket.connect"}])


@pytest.mark.parametrize("is_cancelled", [True, False])
async def test_the_router_answers_a_request_whose_body_is_in_its_scope(is_cancelled: bool) -> None:
    sent: list[Message] = []
    body = json.dumps({"model": "echo", "messages": [{"role": "user", "content": "hello"}]}).encode()
    incoming = [part(body)]

    async def receive() -> Message:
        if incoming:
            return incoming.pop()
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    app = build_app(FakeDataPlane(), replace(SETTINGS, is_cancelled=is_cancelled))
    await EarlyBodyMiddleware(app, lambda: True)(post_scope("/v1/chat/completions"), receive, send)
    assert sent[0]["status"] == 200
    assert "hello" in json.loads(sent[1]["body"])["choices"][0]["message"]["content"]
