"""Answers that break off, as Serve's proxy leaves them."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from starlette.types import Message, Receive, Scope, Send

from deployments.api.error_formats import error_format_of
from deployments.api.http.lost_answer import LostAnswerMiddleware

CHAT = "/v1/chat/completions"
JSON = b"application/json"
EVENTS = b"text/event-stream; charset=utf-8"
TEXT = b"text/plain; charset=utf-8"


def start(status: int, content_type: bytes) -> Message:
    return {"type": "http.response.start", "status": status, "headers": [(b"content-type", content_type)]}


def body(content: bytes, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": content, "more_body": more}


async def sent(
    messages: Sequence[Message], path: str = CHAT, root: str = "", *, for_router: bool = True
) -> list[Message]:
    """What reaches the client of an application that sends these messages."""
    reached: list[Message] = []

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    async def receive() -> Message:
        raise AssertionError("nothing is received")

    async def send(message: Message) -> None:
        reached.append(message)

    scope = {"type": "http", "path": root + path, "root_path": root, "headers": [(b"x-request-id", b"r-1")]}
    await LostAnswerMiddleware(app, lambda: for_router, error_format_of)(scope, receive, send)
    return reached


WHOLE = [
    [start(200, JSON), body(b"{}")],
    [start(200, EVENTS), body(b"data: 1\n\n", more=True), body(b"data: [DONE]\n\n")],
    [start(503, JSON), body(b'{"error": {}}')],
]


@pytest.mark.parametrize("messages", WHOLE)
async def test_whole_answers_pass(messages: list[Message]) -> None:
    assert await sent(messages) == messages


@pytest.mark.parametrize(
    "messages",
    [[], [start(503, TEXT), body(b"no replica")], [start(200, EVENTS), body(b"data: 1\n\n", more=True)]],
)
async def test_what_other_applications_answer_passes_as_it_is(messages: list[Message]) -> None:
    assert await sent(messages, for_router=False) == messages


@pytest.mark.parametrize(
    ("path", "key"),
    [(CHAT, ("error", "message")), ("/v1/messages", ("error", "message")), ("/v2/models/m/infer", ("error",))],
)
@pytest.mark.parametrize("root", ["", "/behind"])
async def test_no_answer_becomes_the_protocols_error(path: str, key: tuple[str, ...], root: str) -> None:
    begun, content = await sent([], path, root)
    assert begun["status"] == 503
    headers = dict(begun["headers"])
    assert (headers[b"retry-after"], headers[b"content-type"]) == (b"1", JSON)
    message = json.loads(content["body"])
    for step in key:
        message = message[step]
    assert "send it again" in message


@pytest.mark.parametrize(("status", "ours"), [(503, 503), (429, 429), (408, 504)])
async def test_the_proxys_own_error_becomes_the_protocols(status: int, ours: int) -> None:
    begun, content = await sent([start(status, TEXT), body(b"no replica is ", more=True), body(b"there")])
    assert (begun["status"], dict(begun["headers"])[b"content-type"]) == (ours, JSON)
    assert json.loads(content["body"])["error"]["message"] == "Ray Serve: no replica is there"


async def test_a_stream_that_breaks_off_ends_with_an_error_event() -> None:
    half = [start(200, EVENTS), body(b'data: {"text": "a"}\n\n', more=True)]
    *before, last = await sent(half)
    assert before == half
    assert last["more_body"] is False
    assert "send it again" in json.loads(last["body"].removeprefix(b"data: "))["error"]["message"]


async def test_anthropics_error_event_has_its_name() -> None:
    half = [start(200, EVENTS), body(b"event: ping\ndata: {}\n\n", more=True)]
    last = (await sent(half, "/v1/messages"))[-1]["body"].decode()
    name, data = last.strip().split("\n")
    assert name == "event: error"
    error = json.loads(data.removeprefix("data: "))
    assert (error["type"], error["error"]["type"], error["request_id"]) == ("error", "api_error", "r-1")


async def test_half_a_body_is_left_to_the_end_of_the_connection() -> None:
    half = [start(200, JSON), body(b'{"a": ', more=True)]
    assert await sent(half) == half
