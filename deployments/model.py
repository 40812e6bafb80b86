"""The replica of one model version: it loads the engine and hands requests to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from pydantic import JsonValue

from deployments.args import ModelArgs
from deployments.engine_host import EngineHost
from deployments.engine_start import Started, start_engine
from deployments.memory_watch import MemoryWatch
from deployments.metrics.memory import kv_cache_in_use
from deployments.metrics.replica import this_replica
from deployments.own_load import own_load
from deployments.own_memory import Watched, watch_own_memory
from deployments.scaling.replica_stats import dump_stats
from models.errors import EngineError, Refusal
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

if TYPE_CHECKING:
    from deployments.group_lead import Group

Result = TypeVar("Result")


class Model:
    """One engine, behind an EngineHost, and what watches over it: its group of ranks, or its own memory's watch.

    A refusal is an answer, not raised: Serve would log it, with its traceback, as a failure of the replica.
    """

    async def __init__(self, args: ModelArgs, plan: MemoryPlan) -> None:  # type: ignore[misc]
        """The engine starts in a thread: the replica answers Serve while it waits for its turn on a GPU."""
        self._started = started = await asyncio.to_thread(start_engine, args, plan)
        limits = args.limits.model_copy(update={"max_batch_size": plan.max_batch_size})
        self._plan = plan
        self._host = EngineHost(args.id, started.stored.manifest.task, limits)
        self._host.open(started.engine)
        self._group = started.group
        self._watch = self._group or self._watch_memory(args, plan, started)

    def reconfigure(self, user_config: JsonValue) -> None:
        """The user_config is the model's card, for the router to read; the replica has no use for it."""

    async def check_health(self) -> None:
        """In the event loop, which engines count on."""
        self._watch.check()
        self._host.check()

    def stats(self) -> EngineStats:
        """The engine's load, for operators and tests."""
        return self._host.stats()

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Serve asks for these where the number of replicas is not fixed, and hands them to the policy."""
        host = self._host
        return dump_stats(own_load(self._plan, host.stats(), host.meter.read(), host.batch_times))

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationChunk | Refusal]:
        """Stream a generation; when Serve cancels the call, the engine drops the request."""
        if refusal := await self._refusal():
            yield refusal
            return
        try:
            async with aclosing(self._host.generate(request)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except EngineError as error:
            raise await self._explained(error) from error

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResult | Refusal:
        """Embed every input; inputs of concurrent requests share batches."""
        return await self._answer(partial(self._host.embed, request))

    async def infer(self, request: InferRequest) -> tuple[Tensor, ...] | Refusal:
        """Run the engine on named tensors."""
        return await self._answer(partial(self._host.infer, request))

    async def _answer(self, work: Callable[[], Awaitable[Result]]) -> Result | Refusal:
        if refusal := await self._refusal():
            return refusal
        try:
            return await work()
        except EngineError as error:
            raise await self._explained(error) from error

    def _watch_memory(self, args: ModelArgs, plan: MemoryPlan, started: Started) -> MemoryWatch:
        planned = plan.planned
        watched = Watched(
            replica=this_replica(),
            version=plan.id,
            engine=plan.engine,
            planned=planned,
            weights=started.stored.folder,
            device=started.settings.device,
            policy=args.memory_policy,
        )
        return watch_own_memory(watched, lambda: kv_cache_in_use(planned.kv_cache_bytes, self._host.stats()))

    async def _refusal(self) -> Refusal | None:
        """The answer to new work that cannot come in."""
        if self._group is not None:
            await self._group.until_gone()
        return self._watch.admit()

    async def _explained(self, error: EngineError) -> Exception:
        """Of a group, what stands behind the failure."""
        return error if self._group is None else await asyncio.to_thread(self._group.explain, error)

    def __del__(self) -> None:
        watch: MemoryWatch | Group | None = getattr(self, "_watch", None)
        if watch is not None:
            watch.close()
        host: EngineHost | None = getattr(self, "_host", None)
        if host is not None:
            host.close()
