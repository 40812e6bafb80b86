"""The replica of one model version: it loads the engine and hands requests to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from pydantic import JsonValue

from deployments.args import ModelArgs
from deployments.engine_host import EngineHost
from deployments.engine_start import start_engine
from deployments.memory_watch import MemoryWatch
from deployments.metrics import MemoryMetrics, kv_cache_in_use, this_replica
from models.engines.meters import make_meter
from models.errors import Refusal
from models.memory.measured import compare
from models.memory.plan import MemoryPlan
from models.types import (
    EmbeddingRequest,
    EmbeddingResult,
    EngineStats,
    GenerationChunk,
    GenerationRequest,
    InferRequest,
    Tensor,
)


class Model:
    """One engine, behind an EngineHost, and the watch over the memory that it takes.

    A refusal is an answer, not raised: Serve would log it, with its traceback, as a failure of the replica.
    """

    async def __init__(self, args: ModelArgs, plan: MemoryPlan) -> None:  # type: ignore[misc]
        """The engine starts in a thread: the replica answers Serve while it waits for its turn on a GPU."""
        self._started = started = await asyncio.to_thread(start_engine, args, plan)
        limits = args.limits.model_copy(update={"max_batch_size": plan.max_batch_size})
        self._host = EngineHost(args.id, started.stored.manifest.task, limits)
        self._host.open(started.engine)
        metrics = MemoryMetrics(this_replica(), plan.id, lambda: kv_cache_in_use(plan, self._host.stats()))
        meter = make_meter(started.stored.folder, plan, started.settings.device)
        ready = meter.read()
        self._watch = MemoryWatch(
            planned=lambda: plan.planned,
            policy=args.memory_policy,
            meter=meter,
            compare=lambda terms, now: compare(terms, ready, now),
            report=metrics.report,
        )
        self._watch.start()

    def reconfigure(self, user_config: JsonValue) -> None:
        """The user_config is the model's card, for the router to read; the replica has no use for it."""

    def check_health(self) -> None:
        self._host.check()
        self._watch.check()

    def stats(self) -> EngineStats:
        """The engine's load, for operators and tests."""
        return self._host.stats()

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationChunk | Refusal]:
        """Stream a generation; when Serve cancels the call, the engine drops the request."""
        if refusal := self._watch.admit():
            yield refusal
            return
        async with aclosing(self._host.generate(request)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResult | Refusal:
        """Embed every input; inputs of concurrent requests share batches."""
        return self._watch.admit() or await self._host.embed(request)

    async def infer(self, request: InferRequest) -> tuple[Tensor, ...] | Refusal:
        """Run the engine on named tensors."""
        return self._watch.admit() or await self._host.infer(request)

    def __del__(self) -> None:
        watch: MemoryWatch | None = getattr(self, "_watch", None)
        if watch is not None:
            watch.close()
        host: EngineHost | None = getattr(self, "_host", None)
        if host is not None:
            host.close()
