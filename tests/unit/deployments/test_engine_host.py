"""What a replica does with a call, over engines that are stood in for. Batching itself is Serve's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from deployments.engine_host import EngineHost
from models.errors import EngineError, InvalidRequestError, ModelUnavailableError, WrongTaskError
from models.spec import Limits
from models.types import (
    EmbeddingRequest,
    EngineStats,
    FinishReason,
    GenerationChunk,
    GenerationRequest,
    InferRequest,
    Task,
    Tensor,
    TensorSpec,
    Usage,
    VersionId,
)

VERSION = VersionId("m", "1")
REQUEST = GenerationRequest("r", "hello")
CHUNKS = (GenerationChunk("a"), GenerationChunk("b", FinishReason.STOP, Usage(1, 2)))
TENSORS = (Tensor("x", "FP32", np.ones(1, np.float32)),)
MISTAKE = InvalidRequestError("too long")


@dataclass
class Common:
    """What all engines have."""

    error: Exception | None = None
    num_closed: int = 0
    name: str = "fake"
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()

    def check(self) -> None:
        if self.error is not None:
            raise self.error

    def stats(self) -> EngineStats:
        return EngineStats(num_running=3)

    def close(self) -> None:
        self.num_closed += 1


@dataclass
class Generates(Common):
    dropped: bool = False

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationChunk]:
        self.check()
        try:
            for chunk in CHUNKS:
                yield chunk
                await asyncio.sleep(0)
        finally:
            self.dropped = True


@dataclass
class Infers(Common):
    thread: int = 0

    def infer(self, request: InferRequest) -> tuple[Tensor, ...]:
        self.check()
        self.thread = threading.get_ident()
        return TENSORS


def host(engine: Common, task: Task) -> EngineHost:
    made = EngineHost(VERSION, task, Limits())
    made.open(engine)
    return made


async def collect(chunks: AsyncGenerator[Any]) -> list[object]:
    return [chunk async for chunk in chunks]


async def test_a_generation_is_streamed() -> None:
    assert await collect(host(Generates(), Task.GENERATE).generate(REQUEST)) == list(CHUNKS)


async def test_a_stream_that_is_closed_is_dropped_by_the_engine() -> None:
    engine = Generates()
    async with aclosing(host(engine, Task.GENERATE).generate(REQUEST)) as chunks:
        await anext(chunks)
    assert engine.dropped


async def test_tensors_are_computed_in_a_thread_of_their_own() -> None:
    engine = Infers()
    serving = host(engine, Task.INFER)
    assert await serving.infer(InferRequest(())) == TENSORS
    first = engine.thread
    await serving.infer(InferRequest(()))
    assert engine.thread == first != threading.get_ident()


async def test_a_caller_s_mistake_is_an_answer_and_a_failure_is_raised() -> None:
    assert await host(Infers(MISTAKE), Task.INFER).infer(InferRequest(())) is MISTAKE
    assert await collect(host(Generates(MISTAKE), Task.GENERATE).generate(REQUEST)) == [MISTAKE]
    with pytest.raises(EngineError):
        await host(Infers(EngineError("out of memory")), Task.INFER).infer(InferRequest(()))


@pytest.mark.parametrize(
    ("engine", "task", "call"),
    [
        (Generates(), Task.GENERATE, lambda serving: serving.embed(EmbeddingRequest(("x",)))),
        (Generates(), Task.GENERATE, lambda serving: serving.infer(InferRequest(()))),
    ],
)
async def test_a_wrong_task_is_named_with_what_to_do(
    engine: Common, task: Task, call: Callable[[EngineHost], Coroutine[Any, Any, object]]
) -> None:
    answer = await call(host(engine, task))
    assert isinstance(answer, WrongTaskError)
    assert "its task is 'generate' (ask it to generate text)" in str(answer)


async def test_generating_with_a_model_that_does_not() -> None:
    (answer,) = await collect(host(Infers(), Task.INFER).generate(REQUEST))
    assert isinstance(answer, WrongTaskError)
    assert "send it named tensors" in str(answer)


async def test_a_host_is_closed_once_and_can_be_opened_again() -> None:
    engine, other = Infers(), Infers()
    serving = host(engine, Task.INFER)
    serving.close()
    serving.close()
    assert engine.num_closed == 1
    with pytest.raises(ModelUnavailableError, match="m@1 is not loaded"):
        await serving.infer(InferRequest(()))
    serving.open(other)
    assert await serving.infer(InferRequest(())) == TENSORS


def test_health_and_load_are_the_engine_s() -> None:
    assert host(Infers(), Task.INFER).stats() == EngineStats(num_running=3)
    with pytest.raises(EngineError, match="ended"):
        host(Infers(EngineError("the loop has ended")), Task.INFER).check()
