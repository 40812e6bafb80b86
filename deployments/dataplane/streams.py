"""A generation under way, with what it holds until its end."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass

from deployments.dataplane.quotas import Spending
from deployments.dataplane.transcript import Transcript
from models.types import GenerationChunk, VersionId


@dataclass(frozen=True, slots=True)
class GenerationStream:
    """``first`` is the chunk that was waited for and is counted already, ``rest`` gives those after it.

    Iterate once; ``aclose`` cancels the work, also when nothing has been read yet, and gives back what ``held``
    holds: the place at the model, and the tokens that were reserved and not used.
    """

    version: VersionId
    rest: AsyncGenerator[GenerationChunk]
    first: GenerationChunk | None = None
    spending: Spending | None = None
    held: AsyncExitStack | None = None
    transcript: Transcript | None = None

    async def __aiter__(self) -> AsyncGenerator[GenerationChunk]:
        if self.first is not None:
            self._keep(self.first)
            yield self.first
        async for chunk in self.rest:
            if self.spending is not None:
                count(chunk, self.spending)
            self._keep(chunk)
            yield chunk

    async def aclose(self) -> None:
        try:
            await self.rest.aclose()
        finally:
            if self.held is not None:
                await self.held.aclose()

    def _keep(self, chunk: GenerationChunk) -> None:
        if self.transcript is not None:
            self.transcript.pieces.append(chunk.text)
            self.transcript.complete = chunk.finish_reason is not None


def count(chunk: GenerationChunk, spending: Spending) -> None:
    """Add what the chunk has cost; the last one has the final count."""
    if chunk.usage is not None:
        spending.set(chunk.usage)
    else:
        spending.add(chunk.num_prompt_tokens, chunk.num_tokens)
