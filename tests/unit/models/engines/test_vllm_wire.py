"""What is sent and how answers are read, against a real HTTP server on a Unix socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from models.engines.vllm_wire import (
    GenerateBody,
    Refused,
    Tokens,
    order,
    parse_event,
    sampling_of,
    stream_tokens,
    structured_outputs,
)
from models.errors import EngineError
from models.types import Grammar, GrammarKind, SamplingParams

BODY = GenerateBody(
    request_id="r",
    token_ids=[1, 2],
    sampling_params=sampling_of(SamplingParams(temperature=0), 8, frozenset({3}), None),
    stream=True,
)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def event(*ids: int, reason: str | None = None) -> bytes:
    choice = {"index": 0, "token_ids": list(ids), "finish_reason": reason, "logprobs": None}
    return b"data: " + json.dumps({"request_id": "r", "choices": [choice]}).encode() + b"\n\n"


@asynccontextmanager
async def server(socket: Path, handler: Handler) -> AsyncIterator[Path]:
    app = web.Application()
    app.router.add_post("/{path:.*}", handler)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    await web.UnixSite(runner, str(socket)).start()
    try:
        yield socket
    finally:
        await runner.cleanup()


def answering(*events: bytes) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        assert await request.json() == BODY
        response = web.StreamResponse()
        await response.prepare(request)
        for each in events:
            await response.write(each)
        return response

    return handle


async def collect(steps: AsyncGenerator[Tokens]) -> list[Tokens]:
    async with aclosing(steps):
        return [step async for step in steps]


async def test_the_tokens_of_each_step_arrive_until_the_last(tmp_path: Path) -> None:
    many = list(range(100_000))
    events = (event(5), event(6, 7), event(*many), event(3, reason="stop"), b"data: [DONE]\n\n")
    async with server(tmp_path / "s", answering(*events)) as socket:
        found = await collect(stream_tokens(socket, BODY))
    assert found == [Tokens([5], False), Tokens([6, 7], False), Tokens(many, False), Tokens([3], True)]


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ((event(5),), "in the middle"),
        ((event(5), b'data: {"error": {"message": "EngineCore died"}}\n\n'), "EngineCore died"),
        ((event(reason="abort"),), "'abort'"),
    ],
)
async def test_an_answer_that_is_no_whole_one_is_a_failure(
    tmp_path: Path, events: tuple[bytes, ...], message: str
) -> None:
    async with server(tmp_path / "s", answering(*events)) as socket:
        with pytest.raises(EngineError, match=message):
            await collect(stream_tokens(socket, BODY))


@pytest.mark.parametrize(("status", "error"), [(400, Refused), (500, EngineError)])
async def test_a_refusal_is_told_from_a_failure(tmp_path: Path, status: int, error: type[Exception]) -> None:
    async def handle(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text="not this")

    async with server(tmp_path / "s", handle) as socket:
        with pytest.raises(error, match="not this"):
            await collect(stream_tokens(socket, BODY))
        with pytest.raises(EngineError, match=f"answers {status} to /sleep"):
            await order(socket, "/sleep", 10)


async def test_a_server_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="gone away"):
        await collect(stream_tokens(tmp_path / "none", BODY))
    with pytest.raises(EngineError, match="gone away"):
        await order(tmp_path / "none", "/wake_up", 10)


async def test_an_order_has_a_bound(tmp_path: Path) -> None:
    async def handle(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with server(tmp_path / "s", handle) as socket:
        with pytest.raises(EngineError, match=r"has not answered /wake_up within 0.01 s"):
            await order(socket, "/wake_up", 0.01)


async def test_closing_the_stream_ends_the_request(tmp_path: Path) -> None:
    cancelled = asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(event(5))
                await asyncio.sleep(0.01)
        finally:
            cancelled.set()

    async with server(tmp_path / "s", handle) as socket:
        steps = stream_tokens(socket, BODY)
        await anext(steps)
        await steps.aclose()
        await asyncio.wait_for(cancelled.wait(), 10)


def test_all_that_a_request_may_ask_for_is_sent() -> None:
    params = SamplingParams(temperature=0.5, top_p=0.9, top_k=7, stop=("never sent",), seed=-1)
    assert sampling_of(params, 12, frozenset({9, 4}), Grammar(GrammarKind.CHOICE, '["a", "b"]', "choice")) == {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 7,
        "max_tokens": 12,
        "stop_token_ids": [4, 9],
        "detokenize": False,
        "seed": (1 << 63) - 1,
        "structured_outputs": {"choice": ["a", "b"]},
    }


def test_grammars_keep_our_rules_for_blanks_and_classes() -> None:
    schema = structured_outputs(Grammar(GrammarKind.JSON_SCHEMA, '{"type": "object"}', "p"))["json"]
    assert isinstance(schema, str)
    assert json.loads(schema)["x-guidance"]["whitespace_flexible"] is False
    assert structured_outputs(Grammar(GrammarKind.REGEX, r"\d", "p")) == {"grammar": "start: /[0-9]/"}
    assert structured_outputs(Grammar(GrammarKind.LARK, 'start: "a"', "p")) == {"grammar": 'start: "a"'}


def test_lines_between_events_say_nothing() -> None:
    assert parse_event(b"\n") is None
    assert parse_event(b"data: [DONE]\n") is None
    assert parse_event(b'data: {"choices": [], "usage": {"prompt_tokens": 1}}\n') is None
