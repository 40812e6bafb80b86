"""The replica of a pool: many small models in one process, within one byte budget."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from pydantic import JsonValue
from ray import serve

from deployments.engine_host import EngineHost
from deployments.metrics import this_replica
from deployments.pool.cache import CacheLimits, ModelCache
from deployments.pool.ledger import ByteLedger
from deployments.pool_args import PoolArgs
from deployments.pool_loader import EngineLoader
from deployments.pool_metrics import PoolMetrics
from models.errors import EngineError, ModelUnavailableError, Refusal
from models.memory.plan import format_bytes
from models.memory.pool_plan import PoolPlan
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

    async def __init__(self, args: PoolArgs, plan: PoolPlan, kinds: Sequence[VersionId]) -> None:  # type: ignore[misc]
        """``kinds`` has one model of each kind, for the warm-up."""
        loader = EngineLoader(args.model_args(), plan.models)
        self._metrics = PoolMetrics(this_replica(), plan.sizes)
        self._ledger = ByteLedger(plan.room_bytes, plan.sizes, plan.pinned)
        limits = CacheLimits(args.num_loads, args.hold_s, args.max_queued_requests)
        self._cache = ModelCache(self._ledger, loader, limits, self._metrics, time.monotonic)
        await asyncio.to_thread(loader.warm_up, kinds)
        for version in sorted(plan.pinned):
            await self._pin(version)
        logger.info("Pool %s has %s for its models.", args.name, format_bytes(plan.room_bytes))

    def reconfigure(self, user_config: JsonValue) -> None:
        """The user_config has the cards of the models, for the router to read; the replica has no use for it."""

    async def check_health(self) -> None:
        """Closes broken models, one by one; the others serve on."""
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
        """The model that the call is for. It may be new in the pool while this replica is still an older one."""
        version = VersionId.parse(serve.get_multiplexed_model_id())
        if not self._ledger.knows(version):
            raise ModelUnavailableError(
                f"this replica has no model {version}: it is being replaced", retry_after_s=5
            )
        return version

    async def _pin(self, version: VersionId) -> None:
        try:
            async with self._cache.use(version):
                pass
        except ModelUnavailableError:
            logger.exception("Pinned model %s is not loaded; the pool serves the others.", version)


def _is_broken(host: EngineHost) -> bool:
    try:
        host.check()
    except EngineError:
        logger.exception("A model of the pool is broken.")
        return True
    return False
