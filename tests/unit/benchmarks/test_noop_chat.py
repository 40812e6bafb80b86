"""The model that computes nothing answers as Stowage's models do, and its bare ingress as OpenAI does."""

from __future__ import annotations

from collections.abc import AsyncIterator

from benchmarks.chat_client import chunks, collect
from benchmarks.noop_chat import TokenArgs, TokenModel, _events
from models.types import FinishReason, GenerationChunk, GenerationRequest, SamplingParams, Usage


def generation(num_tokens: int) -> AsyncIterator[GenerationChunk]:
    return TokenModel(TokenArgs()).generate(GenerationRequest("r", "hello", SamplingParams(max_tokens=num_tokens)))


async def test_every_token_is_counted_once_and_the_last_chunk_has_the_sum() -> None:
    given = [chunk async for chunk in generation(5)]
    assert sum(chunk.num_tokens for chunk in given) == 5
    assert [chunk.finish_reason for chunk in given] == [None] * 4 + [FinishReason.LENGTH]
    assert given[-1].usage == Usage(sum(chunk.num_prompt_tokens for chunk in given), 5)


async def test_its_stream_is_read_as_any_other() -> None:
    async def lines() -> AsyncIterator[str]:
        async for event in _events(generation(3), "r"):
            yield event.decode().strip()

    answer = await collect(chunks(lines()), sent=0)
    assert (answer.text, answer.completion_tokens) == (" word" * 3, 3)
