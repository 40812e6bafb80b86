"""Requests of all sorts for one engine: what comes back has to be the same, whoever computes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Protocol

from models.engines.base import GenerationEngine
from models.types import (
    ChatMessage,
    Conversation,
    FinishReason,
    GenerationChunk,
    GenerationRequest,
    Grammar,
    GrammarKind,
    SamplingParams,
    Usage,
)

NUM_PROMPTS = 50
NUM_STREAMS = 10
WORDS = [
    "the",
    "harbour",
    "was",
    "quiet",
    "and",
    "every",
    "ship",
    "lay",
    "deep",
    "in",
    "the",
    "water",
    "with",
    "all",
]


@dataclass(frozen=True)
class Answer:
    text: str
    reason: FinishReason | None
    usage: Usage | None


def prompts() -> Iterator[Conversation]:
    """Of 1 to about 30 words."""
    for number in range(NUM_PROMPTS):
        words = (WORDS * 3)[number % 7 : number % 7 + 1 + number * number % 31]
        yield Conversation((ChatMessage("user", f"{number} {' '.join(words)}"),))


def requests(max_tokens: int) -> list[GenerationRequest]:
    """Greedy ones, and at the end some that are sampled, kept to a grammar or stopped."""
    asked = list(prompts())
    greedy = [SamplingParams(temperature=0, max_tokens=max_tokens + number % 5) for number in range(NUM_PROMPTS)]
    sampled = SamplingParams(temperature=0.9, top_p=0.9, seed=7, max_tokens=max_tokens)
    stopped = SamplingParams(temperature=0, stop=("e",), max_tokens=max_tokens)
    date = Grammar(GrammarKind.REGEX, r"\d{1,2} (May|June) 20\d\d", "structured_outputs.regex")
    settings = [*greedy, sampled, replace(sampled, seed=8), stopped, stopped]
    more = [asked[3], asked[4], asked[5], asked[6]]
    made = [
        GenerationRequest(f"request {number}", prompt, sampling)
        for number, (prompt, sampling) in enumerate(zip([*asked, *more], settings, strict=True))
    ]
    dated = SamplingParams(temperature=0, max_tokens=20)
    return [*made, *(GenerationRequest(f"dated {number}", asked[number], dated, date) for number in (1, 20, 40))]


class Generator(Protocol):
    """An engine, or a client of one."""

    def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationChunk]:
        """As engines do."""


async def answer(engine: Generator, request: GenerationRequest, gate: asyncio.Semaphore) -> Answer:
    async with gate:
        chunks = [chunk async for chunk in engine.generate(request)]
    return Answer("".join(chunk.text for chunk in chunks), chunks[-1].finish_reason, chunks[-1].usage)


async def cancel(engine: Generator, request: GenerationRequest, gate: asyncio.Semaphore) -> None:
    """Hang up in the middle."""
    async with (
        gate,
        aclosing(engine.generate(replace(request, request_id=f"cancelled {request.request_id}"))) as all_,
    ):
        async for _ in all_:
            return


async def answers(engine: Generator, max_tokens: int) -> list[Answer]:
    """Of all requests, at most ``NUM_STREAMS`` at once, with others among them that are cancelled."""
    gate = asyncio.Semaphore(NUM_STREAMS)
    asked = requests(max_tokens)
    works = [asyncio.create_task(answer(engine, request, gate)) for request in asked]
    cancelled = [asyncio.create_task(cancel(engine, request, gate)) for request in asked[3:NUM_PROMPTS:6]]
    found = await asyncio.gather(*works)
    await asyncio.gather(*cancelled)
    return list(found)


async def until_idle(engine: GenerationEngine) -> None:
    """Nothing runs, and no page of the KV cache is in use."""
    async with asyncio.timeout(60):
        while engine.stats().num_running or engine.stats().num_kv_pages_used:  # noqa: ASYNC110  nobody tells
            await asyncio.sleep(0.01)
