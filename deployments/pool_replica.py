"""The replica of a pool: many small models in one process, within one byte budget."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from pydantic import JsonValue
from ray import serve

from deployments.engine_host import EngineHost
from deployments.metrics.memory import MemoryMetrics
from deployments.metrics.pool import PoolMetrics
from deployments.metrics.replica import this_replica
from deployments.pool.cache import CacheLimits, ModelCache
from deployments.pool.ledger import ByteLedger
from deployments.pool.warm_up import WarmUp
from deployments.pool_args import PoolArgs
from deployments.pool_loader import EngineLoader
from deployments.pool_memory import PoolMemory
from deployments.routing.cards import load_pool
from models.engines.kept_parts import KeptParts
from models.engines.meters import ProcessMeter
from models.engines.parts import FRESH
from models.errors import EngineError, ModelUnavailableError, Refusal
from models.memory.measured import MemoryReport
from models.memory.plan import format_bytes
from models.memory.pool_plan import PoolPlan
from models.store import open_store
from models.types import (
    EmbeddingRequest,
    EmbeddingResult,
    GenerationChunk,
    GenerationRequest,
    InferRequest,
    Tensor,
    VersionId,
)

logger = logging.getLogger("ray.serve")

# A request passes through half a dozen threads of this process, and at each waits for the interpreter lock: by
# default 5 ms where another thread computes in Python.
_SWITCH_INTERVAL_S = 0.0005


@dataclass(frozen=True, slots=True)
class PoolStats:
    """A snapshot of one replica. ``resident`` has the least recently used first; ``totals`` counts hits, loads,
    failures and evictions since its start."""

    replica: str
    pid: int
    resident: tuple[VersionId, ...]
    loading: tuple[VersionId, ...]
    taken_bytes: int
    room_bytes: int
    totals: Mapping[str, int]


class Pool:
    """Hands each request to its model, which Serve's ``multiplexed_model_id`` names, loading it first if need be.

    A refusal is an answer, not raised: Serve would log it, with its traceback, as a failure of the replica.
    """

    async def __init__(self, args: PoolArgs, plan: PoolPlan, warm_up: WarmUp) -> None:  # type: ignore[misc]
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        loader = EngineLoader(args.model_args(), plan.models, KeptParts(FRESH))
        self._metrics = PoolMetrics(this_replica(), plan.sizes, plan.mapped_sizes)
        self._memory_metrics = MemoryMetrics(this_replica(), None, dict)
        self._ledger = ByteLedger(plan.room_bytes, plan.sizes, plan.pinned)
        limits = CacheLimits(args.num_loads, args.hold_s, args.max_queued_requests)
        self._cache = ModelCache(self._ledger, loader, limits, self._metrics, time.monotonic)
        await asyncio.to_thread(loader.warm_up, warm_up)
        await self._pin(plan.pinned)
        self._memory = PoolMemory(
            planned=lambda: plan.planned(args.application, self._ledger.held),
            policy=args.memory_policy,
            meter=ProcessMeter(open_store(args.store).root),
            give_back=loader.give_back,
            cache=self._cache,
            report=self._report,
        )
        self._memory.watch.start()
        logger.info("Pool %s has %s for its models.", args.name, format_bytes(plan.room_bytes))

    async def reconfigure(self, user_config: JsonValue) -> None:
        """Serve calls this after the start and when a model is pinned, or no longer, while the pool runs."""
        await self._pin(frozenset(load_pool(user_config).pinned))

    async def check_health(self) -> None:
        """Closes broken models, one by one; the others serve on. EngineError when all are to be replaced."""
        self._memory.watch.check()
        await self._cache.drop_broken(_is_broken)

    def stats(self) -> PoolStats:
        """What is loaded, for operators and tests."""
        return PoolStats(
            replica=this_replica().replica,
            pid=os.getpid(),
            resident=self._ledger.resident,
            loading=self._cache.loading,
            taken_bytes=self._ledger.taken_bytes,
            room_bytes=self._ledger.budget_bytes,
            totals=dict(self._metrics.totals),
        )

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationChunk | Refusal]:
        """Stream a generation; when Serve cancels the call, the engine drops the request."""
        try:
            async with self._cache.use(self._asked()) as host, aclosing(host.generate(request)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except ModelUnavailableError as error:
            yield error

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResult | Refusal:
        """Embed every input; inputs of concurrent requests for one model share batches."""
        try:
            async with self._cache.use(self._asked()) as host:
                return await host.embed(request)
        except ModelUnavailableError as error:
            return error

    async def infer(self, request: InferRequest) -> tuple[Tensor, ...] | Refusal:
        """Run the model on named tensors."""
        try:
            async with self._cache.use(self._asked()) as host:
                return await host.infer(request)
        except ModelUnavailableError as error:
            return error

    def _asked(self) -> VersionId:
        """The model that the call is for. It may be new in the pool while this replica is still an older one.

        ModelUnavailableError when it is unknown, or new work of it is shed.
        """
        version = VersionId.parse(serve.get_multiplexed_model_id())
        if not self._ledger.knows(version):
            raise ModelUnavailableError(
                f"this replica has no model {version}: it is being replaced", retry_after_s=5
            )
        if refusal := self._memory.admit(version):
            raise refusal
        return version

    def _report(self, found: MemoryReport) -> None:
        """Called by the watch, on its thread."""
        self._memory_metrics.report(found)
        self._metrics.measured(self._ledger.held, found.reading.files)

    async def _pin(self, versions: frozenset[VersionId]) -> None:
        """Load those that are not loaded; one after the other, so that requests get their turn between them."""
        self._ledger.pin(versions)
        for version in sorted(version for version in versions if not self._cache.is_loaded(version)):
            try:
                async with self._cache.use(version):
                    pass
            except ModelUnavailableError:
                logger.exception("Pinned model %s is not loaded; the pool serves the others.", version)

    def __del__(self) -> None:
        memory: PoolMemory | None = getattr(self, "_memory", None)
        if memory is not None:
            memory.watch.close()


def _is_broken(host: EngineHost) -> bool:
    try:
        host.check()
    except EngineError:
        logger.exception("A model of the pool is broken.")
        return True
    return False
