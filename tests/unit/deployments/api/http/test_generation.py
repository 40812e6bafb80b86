from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from deployments.api.http.generation import Order, collect, running
from deployments.dataplane.call import Call
from deployments.dataplane.streams import GenerationStream
from deployments.routing.states import ModelState
from models.errors import EngineError
from models.types import FinishReason, GenerationChunk, GenerationRequest, SamplingParams, Usage, VersionId
from tests.unit.deployments.api.fake import FakeDataPlane


class Scripted(FakeDataPlane):
    """Streams exactly these chunks, in one go."""

    def __init__(self, *chunks: GenerationChunk) -> None:
        super().__init__()
        self._chunks = chunks

    async def generate(self, model: str, request: GenerationRequest, call: Call) -> GenerationStream:
        return GenerationStream(VersionId("echo", "1"), self._stream())

    async def _stream(self) -> AsyncGenerator[GenerationChunk]:
        for chunk in self._chunks:
            yield chunk


LAST = GenerationChunk("c", FinishReason.STOP, Usage(1, 3))


def order(*prompts: str) -> Order:
    return Order("echo", prompts, SamplingParams())


async def test_what_is_ready_together_comes_together() -> None:
    dataplane = Scripted(GenerationChunk("a"), GenerationChunk("b"), LAST)
    async with running(dataplane, order("x"), Call.start("r", 5)) as batches:
        sizes = [len(pieces) async for pieces in batches]
    assert sizes == [3]


async def test_pieces_come_before_the_error_that_follows_them() -> None:
    async with running(FakeDataPlane(), order("a b break"), Call.start("r", 5)) as batches:
        assert [piece.chunk.text for piece in await anext(batches)] == ["a ", "b "]
        with pytest.raises(EngineError, match="the engine broke"):
            await anext(batches)


async def test_leaving_early_stops_every_generation() -> None:
    dataplane = FakeDataPlane()
    async with running(dataplane, order("forever", "forever"), Call.start("r", 5)) as batches:
        await anext(batches)
        assert dataplane.num_active == 2
    assert dataplane.num_active == 0


@pytest.mark.parametrize("chunks", [(), (GenerationChunk("a"),), (GenerationChunk("a", FinishReason.STOP),)])
async def test_a_stream_that_ends_without_its_last_chunk_is_an_error(chunks: tuple[GenerationChunk, ...]) -> None:
    async with asyncio.timeout(2):
        with pytest.raises(EngineError, match="without its finish reason"):
            await collect(Scripted(*chunks), order("x"), Call.start("r", 5))


async def test_several_prompts_are_pinned_to_one_version() -> None:
    class Recording(FakeDataPlane):
        models: tuple[str, ...] = ()

        async def choose(self, model: str, call: Call) -> ModelState:
            return ModelState(VersionId(model, "1"), True, "ready")

        async def generate(self, model: str, request: GenerationRequest, call: Call) -> GenerationStream:
            self.models += (model,)
            return await super().generate(model, request, call)

    dataplane = Recording()
    results = await collect(dataplane, order("a", "b c"), Call.start("r", 5))
    assert [result.text for result in results] == ["a ", "b c "]
    assert dataplane.models == ("echo@1", "echo@1")
