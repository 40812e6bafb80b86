from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from benchmarks.chat_client import Answer, chunks, collect
from models.errors import StowageError

ROLE = 'data: {"choices":[{"index":0,"delta":{"role":"assistant"}}],"id":"1"}'
USAGE = 'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}'
DONE = "data: [DONE]"


def text(content: str) -> str:
    return f'data: {{"choices":[{{"index":0,"delta":{{"content":"{content}"}}}}],"usage":null}}'


async def lines(*items: str | float) -> AsyncIterator[str]:
    """Strings come at once, numbers are pauses."""
    for item in items:
        if isinstance(item, str):
            yield item
        else:
            await asyncio.sleep(item)


async def answer(*items: str | float) -> Answer:
    return await collect(chunks(lines(*items)), time.perf_counter())


async def test_text_and_usage_are_put_together() -> None:
    got = await answer(ROLE, "", text("one "), ": comment", text("two"), USAGE, DONE)
    assert (got.text, got.prompt_tokens, got.completion_tokens) == ("one two", 3, 2)


async def test_the_first_token_is_the_first_text_and_not_the_role() -> None:
    got = await answer(ROLE, 0.05, text("one"), 0.05, text("two"), USAGE, DONE)
    assert got.first_token_s >= 0.05
    assert got.total_s - got.first_token_s >= 0.05


async def test_usage_may_come_with_the_last_choice() -> None:
    ended = 'data: {"choices":[{"delta":{}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}'
    assert (await answer(text("one"), ended, DONE)).completion_tokens == 1


@pytest.mark.parametrize("items", [(text("one"), DONE), (ROLE, USAGE, DONE)], ids=["no usage", "no text"])
async def test_a_stream_without_text_or_usage_is_no_measurement(items: tuple[str, ...]) -> None:
    with pytest.raises(StowageError, match="the stream ended with usage"):
        await answer(*items)
