"""From a request to an engine: what every replica does with a call, whatever it hosts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np
from ray import serve

from deployments.scaling.batch_times import BatchTimes
from deployments.work_meter import Item, WorkMeter
from models.engines.base import EmbeddingEngine, Engine, GenerationEngine, TensorEngine
from models.errors import InvalidRequestError, ModelUnavailableError, WrongTaskError
from models.spec import Limits
from models.types import (
    EmbeddingRequest,
    EmbeddingResult,
    EngineStats,
    GenerationChunk,
    GenerationRequest,
    InferRequest,
    Task,
    Tensor,
    Usage,
    VersionId,
)

if TYPE_CHECKING:
    import numpy.typing as npt

Argument = TypeVar("Argument")
Result = TypeVar("Result")

_INSTEAD = {
    Task.GENERATE: "ask it to generate text",
    Task.EMBED: "ask it for embeddings",
    Task.INFER: "send it named tensors",
}


class EngineHost:
    """The engine of one model version, from ``open`` to ``close``, and the queue in front of it.

    Blocking engines compute in one thread of their own, so the event loop stays free. An InvalidRequestError is an
    answer, not raised: Serve would log it as a failure of the replica, with its traceback, for every mistake of a
    caller. The queue outlives the engine, since Serve's batching never ends what it has started. ``meter`` has
    what becomes of the work, ``batch_times`` how long batches take.
    """

    def __init__(self, version: VersionId, task: Task, limits: Limits) -> None:
        self._id = version
        self._task = task
        self._engine: Engine | None = None
        self._compute: ThreadPoolExecutor | None = None
        self.batch_times = BatchTimes()
        self.meter = WorkMeter(time.monotonic, self.batch_times.learn)
        self._batched = serve.batch(
            max_batch_size=limits.max_batch_size, batch_wait_timeout_s=limits.batch_wait_s
        )(self._embed_batch)

    def open(self, engine: Engine) -> None:
        """Hand requests to ``engine`` from now on; it belongs to the host."""
        self._engine = engine
        self._compute = ThreadPoolExecutor(max_workers=1, thread_name_prefix="compute")

    def close(self) -> None:
        """Close the engine and let go of it; idempotent. Blocks until a generation loop has ended."""
        engine, self._engine = self._engine, None
        compute, self._compute = self._compute, None
        if compute is not None:
            compute.shutdown(wait=False)
        if engine is not None:
            engine.close()

    def check(self) -> None:
        """EngineError when the engine can no longer serve."""
        self._opened().check()

    def stats(self) -> EngineStats:
        """The engine's load, for operators and tests."""
        return self._opened().stats()

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationChunk | InvalidRequestError]:
        """Stream a generation; when Serve cancels the call, the engine drops the request."""
        engine = self._opened()
        if not isinstance(engine, GenerationEngine):
            yield self._wrong_task("generate text")
            return
        work = [self.meter.come()]
        self.meter.begin(work)
        try:
            async with aclosing(engine.generate(request)) as chunks:
                async for chunk in chunks:
                    if chunk.num_prompt_tokens:
                        self.meter.read_prompt(work[0], chunk.num_prompt_tokens)
                    self.meter.serve(chunk.num_prompt_tokens + chunk.num_tokens)
                    yield chunk
        except InvalidRequestError as error:
            yield error
        finally:
            self.meter.end(work)

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResult | InvalidRequestError:
        """Embed every input; inputs of concurrent requests share batches."""
        engine = self._opened()
        if not isinstance(engine, EmbeddingEngine):
            return self._wrong_task("make embeddings")
        try:
            encoded = await asyncio.to_thread(engine.tokenize, request.inputs)
        except InvalidRequestError as error:
            return error
        work = [self.meter.come() for _ in encoded]
        try:
            vectors = await asyncio.gather(*map(self._batched, zip(work, encoded, strict=True)))
        finally:
            self.meter.end(work)
        return EmbeddingResult(np.stack(vectors), Usage(sum(map(len, encoded))))

    async def infer(self, request: InferRequest) -> tuple[Tensor, ...] | InvalidRequestError:
        """Run the engine on named tensors."""
        engine = self._opened()
        if not isinstance(engine, TensorEngine):
            return self._wrong_task("take tensors")
        work = [self.meter.come()]
        try:
            return await self._in_compute_thread(work, engine.infer, request)
        except InvalidRequestError as error:
            return error

    async def _embed_batch(self, inputs: list[tuple[Item, tuple[int, ...]]]) -> list[npt.NDArray[np.float32]]:
        engine = cast("EmbeddingEngine", self._opened())
        work, encoded = [item for item, _ in inputs], [token_ids for _, token_ids in inputs]
        result = await self._in_compute_thread(work, engine.embed, encoded)
        self.meter.serve(sum(map(len, encoded)))
        return list(result.vectors)

    async def _in_compute_thread(
        self, work: list[Item], function: Callable[[Argument], Result], argument: Argument
    ) -> Result:
        def compute() -> Result:
            self.meter.begin(work)
            return function(argument)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._compute, compute)
        finally:
            self.meter.end(work)

    def _opened(self) -> Engine:
        if self._engine is None:
            raise ModelUnavailableError(f"model {self._id} is not loaded", retry_after_s=1)
        return self._engine

    def _wrong_task(self, asked: str) -> WrongTaskError:
        return WrongTaskError(
            f"model {self._id} does not {asked}: its task is '{self._task}'",
            remedy=_INSTEAD[self._task],
            param="model",
        )
