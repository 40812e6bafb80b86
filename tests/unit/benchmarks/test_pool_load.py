"""The pool benchmark counts what it says it counts. The other side is stood in for."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import numpy as np

from benchmarks.pool_load import ask_all, warm_latencies
from benchmarks.pool_models import Case
from models.errors import ModelUnavailableError
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
    """Answers as it is told to, and keeps the ids of its requests."""

    text: str = "a b"
    vector: object = field(default_factory=lambda: VECTOR)
    error: Exception | None = None
    ids: list[str] = field(default_factory=list)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationChunk]:
        self.ids.append(request.request_id)
        if self.error:
            raise self.error
        for piece in (self.text[:1], self.text[1:]):
            yield GenerationChunk(piece)

    async def embed(self, _: EmbeddingRequest) -> EmbeddingResult:
        if self.error:
            raise self.error
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


async def test_latencies_of_a_warm_model_beside_cold_ones() -> None:
    client = Client()
    idle = await warm_latencies(EMBEDS, (), lambda _: client, 0.05)
    assert idle.num_loads == 0
    assert idle.num_requests > 1
    assert 0 < idle.p50_s <= idle.p99_s < 0.05
