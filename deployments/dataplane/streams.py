"""A generation under way, with what it holds until its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass

from deployments.dataplane.observer import UNOBSERVED, Observer
from deployments.dataplane.quotas import Spending
from deployments.dataplane.transcript import Transcript
from models.tools import ToolCallPiece
from models.types import GenerationChunk, VersionId


@dataclass(frozen=True, slots=True)
class GenerationStream:
    """``first`` is the chunk that was waited for and is counted already, ``rest`` gives those after it.

    Iterate once; ``aclose`` cancels the work, also when nothing has been read yet, and gives back what ``held``
    holds: the place at the model, and the tokens that were reserved and not used. ``limit`` is the time limit of
    its route, where that has one; the call's own is its protocol's to keep. ``observer`` hears of each part.
    """

    version: VersionId
    rest: AsyncGenerator[GenerationChunk]
    first: GenerationChunk | None = None
    spending: Spending | None = None
    held: AsyncExitStack | None = None
    transcript: Transcript | None = None
    limit: Callable[[], AbstractAsyncContextManager[None]] | None = None
    observer: Observer = UNOBSERVED

    async def __aiter__(self) -> AsyncGenerator[GenerationChunk]:
        if self.first is not None:
            self._keep(self.first)
            yield self.first
        clock = asyncio.get_running_loop().time
        last = clock()
        async for chunk in self.rest if self.limit is None else _in_time(self.rest, self.limit):
            if self.spending is not None:
                count(chunk, self.spending)
            self._keep(chunk)
            before, last = last, clock()
            self.observer.token_gap(self.version, last - before)
            yield chunk

    async def aclose(self) -> None:
        try:
            await self.rest.aclose()
        finally:
            if self.held is not None:
                await self.held.aclose()

    def _keep(self, chunk: GenerationChunk) -> None:
        if self.transcript is not None:
            self.transcript.pieces += [chunk.text, *map(_written, chunk.tool_calls)]
            self.transcript.complete = chunk.finish_reason is not None


def _written(call: ToolCallPiece) -> str:
    return call.arguments if call.name is None else f"\n{call.name} {call.arguments}"


async def _in_time(
    chunks: AsyncGenerator[GenerationChunk], limit: Callable[[], AbstractAsyncContextManager[None]]
) -> AsyncGenerator[GenerationChunk]:
    """Each is waited for within the limit. One over all of them would also cancel what is done with them."""
    while True:
        async with limit():
            chunk = await anext(chunks, None)
        if chunk is None:
            return
        yield chunk


def count(chunk: GenerationChunk, spending: Spending) -> None:
    """Add what the chunk has cost; the last one has the final count."""
    if chunk.usage is not None:
        spending.set(chunk.usage)
    else:
        spending.add(chunk.num_prompt_tokens, chunk.num_tokens)
