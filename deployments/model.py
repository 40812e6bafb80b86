"""The replica of one model version: it loads the engine and hands requests to it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np
from pydantic import JsonValue
from ray import serve

from deployments.args import ModelArgs
from deployments.importing import ensure_imported
from deployments.options import engine_settings
from models.engines.base import EmbeddingEngine, Engine, GenerationEngine, TensorEngine
from models.engines.registry import create_engine
from models.errors import InvalidRequestError, WrongTaskError
from models.memory import MemoryPlan
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
)

if TYPE_CHECKING:
    import numpy.typing as npt

logger = logging.getLogger("ray.serve")

Argument = TypeVar("Argument")
Result = TypeVar("Result")

_INSTEAD = {
    Task.GENERATE: "ask it to generate text",
    Task.EMBED: "ask it for embeddings",
    Task.INFER: "send it named tensors",
}


class Model:
    """One engine. Blocking engines compute in one thread of their own, so the event loop stays free.

    An InvalidRequestError is an answer, not raised: Serve would log it as a failure of the replica, with its
    traceback, for every mistake of a caller.
    """

    def __init__(self, args: ModelArgs, plan: MemoryPlan) -> None:
        began = time.monotonic()
        stored = ensure_imported(args)
        logger.info("Loading %s with the %s engine.", args.id, plan.engine)
        self._task = stored.manifest.task
        self._id = args.id
        self._engine: Engine = create_engine(
            plan.engine, stored.folder, stored.manifest, engine_settings(args, plan)
        )
        self._compute = ThreadPoolExecutor(max_workers=1, thread_name_prefix="compute")
        self._embed_batch.set_max_batch_size(args.limits.max_batch_size)  # type: ignore[attr-defined]
        self._embed_batch.set_batch_wait_timeout_s(args.limits.batch_wait_s)  # type: ignore[attr-defined]
        logger.info("%s is loaded after %.1f s.", args.id, time.monotonic() - began)

    def reconfigure(self, user_config: JsonValue) -> None:
        """The user_config is the model's card, for the router to read; the replica has no use for it."""

    def check_health(self) -> None:
        self._engine.check()

    def stats(self) -> EngineStats:
        """The engine's load, for operators and tests."""
        return self._engine.stats()

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationChunk | InvalidRequestError]:
        """Stream a generation; when Serve cancels the call, the engine drops the request."""
        engine = self._engine
        if not isinstance(engine, GenerationEngine):
            yield self._wrong_task("generate text")
            return
        try:
            async with aclosing(engine.generate(request)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except InvalidRequestError as error:
            yield error

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResult | InvalidRequestError:
        """Embed every input; inputs of concurrent requests share batches."""
        engine = self._engine
        if not isinstance(engine, EmbeddingEngine):
            return self._wrong_task("make embeddings")
        try:
            encoded = await asyncio.to_thread(engine.tokenize, request.inputs)
        except InvalidRequestError as error:
            return error
        vectors = await asyncio.gather(*(self._embed_batch(token_ids) for token_ids in encoded))
        return EmbeddingResult(np.stack(vectors), Usage(sum(map(len, encoded))))

    async def infer(self, request: InferRequest) -> tuple[Tensor, ...] | InvalidRequestError:
        """Run the engine on named tensors."""
        engine = self._engine
        if not isinstance(engine, TensorEngine):
            return self._wrong_task("take tensors")
        try:
            return await self._in_compute_thread(engine.infer, request)
        except InvalidRequestError as error:
            return error

    @serve.batch
    async def _embed_batch(self, inputs: list[tuple[int, ...]]) -> list[npt.NDArray[np.float32]]:
        engine = cast("EmbeddingEngine", self._engine)
        result = await self._in_compute_thread(engine.embed, inputs)
        return list(result.vectors)

    async def _in_compute_thread(self, function: Callable[[Argument], Result], argument: Argument) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._compute, function, argument)

    def _wrong_task(self, asked: str) -> WrongTaskError:
        return WrongTaskError(
            f"model {self._id} does not {asked}: its task is '{self._task}'",
            remedy=_INSTEAD[self._task],
            param="model",
        )

    def __del__(self) -> None:
        engine: Engine | None = getattr(self, "_engine", None)
        if engine is not None:
            engine.close()
