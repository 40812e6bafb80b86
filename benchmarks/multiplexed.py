"""What Ray Serve has for many models in one replica, with the same engines: ``serve.multiplexed``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, aclosing, nullcontext
from threading import Lock

from ray import serve

from deployments.engine_host import EngineHost
from deployments.pool.warm_up import WarmUp
from deployments.pool_args import PoolArgs
from deployments.pool_loader import EngineLoader
from models.engines.parts import FRESH
from models.errors import Refusal
from models.memory.pool_plan import PoolPlan
from models.types import EmbeddingRequest, EmbeddingResult, GenerationChunk, GenerationRequest, VersionId

NUM_MODELS = 20


class Loaded:
    """A model as ``serve.multiplexed`` keeps it: it calls ``__del__`` when it evicts."""

    def __init__(self, loader: EngineLoader, version: VersionId, turn: AbstractContextManager[object]) -> None:
        self._loader = loader
        with turn:
            self.host: EngineHost = loader.load(version)

    def __del__(self) -> None:
        self._loader.unload(self.host)


class Multiplexed:
    """Loads in a thread, as a good user of ``serve.multiplexed`` would, one model of transformers at a time."""

    def __init__(self, args: PoolArgs, plan: PoolPlan, warm_up: WarmUp) -> None:
        self._engines = {model.id: model.engine for model in plan.models}
        self._loader = EngineLoader(args.model_args(), plan.models, FRESH)
        self._from_pretrained = Lock()
        self._loader.warm_up(warm_up)

    @serve.multiplexed(max_num_models_per_replica=NUM_MODELS)  # type: ignore[untyped-decorator]
    async def get_model(self, model: str) -> Loaded:
        version = VersionId.parse(model)
        turn = nullcontext() if self._engines[version] == "onnx" else self._from_pretrained
        return await asyncio.to_thread(Loaded, self._loader, version, turn)

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResult | Refusal:
        loaded: Loaded = await self.get_model(serve.get_multiplexed_model_id())
        return await loaded.host.embed(request)

    async def infer(self, request: object) -> None:
        """Not asked here; a client configures every method."""

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationChunk | Refusal]:
        loaded: Loaded = await self.get_model(serve.get_multiplexed_model_id())
        async with aclosing(loaded.host.generate(request)) as chunks:
            async for chunk in chunks:
                yield chunk
