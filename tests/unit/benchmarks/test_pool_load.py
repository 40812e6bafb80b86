"""The pool benchmark counts what it says it counts. The other side is stood in for."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from benchmarks.pool_load import Stream, ask_all, ask_for
from benchmarks.pool_models import Case
from benchmarks.pool_samples import Latencies, Span
from models.errors import InvalidRequestError, ModelUnavailableError
from models.types import (
    EmbeddingRequest,
    EmbeddingResult,
    GenerationChunk,
    GenerationRequest,
    InferRequest,
    Tensor,
    Usage,
    VersionId,
)

VECTOR = np.ones(4, np.float32)
EMBEDS = Case(VersionId("e", "1"), EmbeddingRequest(((3,),)), VECTOR)
GENERATES = Case(VersionId("g", "1"), GenerationRequest("", (3,)), "a b")


@dataclass
class Client:
    """Answers as it is told to, and keeps the ids of its requests and how many tokens they want."""

    text: str = "a b"
    vector: object = field(default_factory=lambda: VECTOR)
    error: Exception | None = None
    refused: Exception | None = None
    ids: list[str] = field(default_factory=list)
    limits: list[int | None] = field(default_factory=list)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationChunk]:
        self.ids.append(request.request_id)
        self.limits.append(request.sampling.max_tokens)
        if self.error:
            raise self.error
        for piece in (self.text[:1], self.text[1:]):
            yield GenerationChunk(piece)

    async def embed(self, _: EmbeddingRequest) -> EmbeddingResult:
        await asyncio.sleep(0)
        if error := self.error or self.refused:
            raise error
        return EmbeddingResult(np.array([self.vector], np.float32), Usage(1))

    async def infer(self, request: InferRequest) -> tuple[Tensor, ...]:
        raise NotImplementedError


async def test_right_answers_are_counted_and_no_request_has_another_s_id() -> None:
    client = Client()
    answers = await ask_all([EMBEDS, GENERATES], lambda _: client, num_requests=40, num_clients=4)
    assert (answers.right, answers.wrong, answers.lost) == (40, 0, 0)
    assert len(set(client.ids)) == len(client.ids) > 0


async def test_wrong_answers_and_refusals_are_counted() -> None:
    wrong = Client(text="a c", vector=VECTOR + 0.01)
    answers = await ask_all([EMBEDS, GENERATES], lambda _: wrong, num_requests=10, num_clients=2)
    assert (answers.right, answers.wrong, answers.lost) == (0, 10, 0)
    refused = Client(error=ModelUnavailableError("loading"))
    answers = await ask_all([EMBEDS, GENERATES], lambda _: refused, num_requests=10, num_clients=2)
    assert (answers.right, answers.wrong, answers.lost) == (0, 0, 10)


async def test_a_warm_model_is_asked_for_as_long_as_told() -> None:
    spans = await ask_for(Client(), EMBEDS, 0.05)
    assert len(spans) > 1
    assert all(before.ended_s <= after.began_s for before, after in pairwise(spans))
    assert 0.04 < spans[-1].ended_s - spans[0].began_s < 0.5


async def test_a_stream_asks_others_until_it_is_stopped_whatever_they_say() -> None:
    client = Client(refused=InvalidRequestError("no such token"))
    stream = Stream(lambda: lambda _: client, pause_s=0)
    gc.unfreeze()
    assert await stream.stop() == []
    await stream.start([(GENERATES, GENERATES.shortest), (EMBEDS, EMBEDS.refused)])
    for _ in range(100):
        await asyncio.sleep(0)
    spans = await stream.stop()
    assert len(spans) > len(client.ids) > 1
    assert set(client.limits) == {1}
    assert len(set(client.ids)) == len(client.ids)


def test_only_requests_beside_others_count() -> None:
    spans = [Span(0, 1), Span(2, 5), Span(6, 8), Span(9, 10)]
    alone, beside = Latencies.of(spans), Latencies.of(spans, [Span(4, 7)])
    assert (alone.num_requests, alone.num_others, alone.p50_s) == (4, 0, 1.5)
    assert (beside.num_requests, beside.num_others, beside.p50_s) == (2, 1, 2.5)
