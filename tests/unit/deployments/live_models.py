"""Fakes at the two seams of the data plane: what Serve says is live, and the calls to replicas."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import numpy as np

from deployments.routing.states import ModelState, Picture
from models.types import (
    EmbeddingRequest,
    EmbeddingResult,
    FinishReason,
    GenerationChunk,
    GenerationRequest,
    InferRequest,
    ModelCard,
    Task,
    Tensor,
    Usage,
    VersionId,
)

CHUNKS = (GenerationChunk("one "), GenerationChunk("two"), GenerationChunk("", FinishReason.STOP, Usage(3, 2)))
EMBEDDING = EmbeddingResult(np.ones((1, 4), np.float32), Usage(2))
TENSORS = (Tensor("sum", "FP32", np.ones(2, np.float32)),)


def state(version: str, status: str = "ready", reason: str | None = None) -> ModelState:
    parsed = VersionId.parse(version)
    card = ModelCard(parsed, Task.GENERATE, "transformers", created_unix_s=0)
    return ModelState(parsed, status in ("ready", "asleep"), status, reason, card)


@dataclass
class Cluster:
    """What ``fetch`` gives from now on; pictures in ``upcoming`` come first, one a fetch."""

    states: tuple[ModelState, ...] = ()
    upcoming: list[tuple[ModelState, ...]] = field(default_factory=list)
    error: Exception | None = None
    num_fetches: int = 0

    def fetch(self) -> Picture:
        self.num_fetches += 1
        if self.error is not None:
            raise self.error
        if self.upcoming:
            self.states = self.upcoming.pop(0)
        return Picture(self.states)


@dataclass
class Replica:
    """Answers once ``answer`` is set, with ``error`` if there is one; ``ended`` once it has let go of a call.

    ``errors`` come first, one a call. A stream of ``chunks`` ends with ``breaks``, if that is set.
    """

    answer: asyncio.Event = field(default_factory=asyncio.Event)
    called: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False
    error: Exception | None = None
    errors: list[Exception] = field(default_factory=list)
    chunks: tuple[GenerationChunk, ...] = CHUNKS
    breaks: Exception | None = None
    num_calls: int = 0

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationChunk]:
        try:
            await self._answer()
            for chunk in self.chunks:
                yield chunk
            if self.breaks is not None:
                raise self.breaks
        finally:
            self.ended = True

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResult:
        try:
            await self._answer()
        finally:
            self.ended = True
        return EMBEDDING

    async def wake(self) -> None:
        await self._answer()

    async def infer(self, request: InferRequest) -> tuple[Tensor, ...]:
        try:
            await self._answer()
        finally:
            self.ended = True
        return TENSORS

    async def _answer(self) -> None:
        self.num_calls += 1
        self.called.set()
        await self.answer.wait()
        if self.errors:
            raise self.errors.pop(0)
        if self.error is not None:
            raise self.error


class Replicas:
    """One replica for each version that is asked for."""

    def __init__(self) -> None:
        self._by_version: dict[str, Replica] = {}

    def __getitem__(self, version: str) -> Replica:
        return self._by_version.setdefault(version, Replica())

    async def client(self, version: VersionId, pool: str | None = None) -> Replica:
        return self[f"{pool}:{version}" if pool else str(version)]

    async def wake(self, version: VersionId, pool: str | None = None) -> None:
        await (await self.client(version, pool)).wake()
