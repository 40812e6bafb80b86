"""What ``serve_config.yaml`` may say under ``args`` of a pool."""

from __future__ import annotations

from typing import Self

from pydantic import ByteSize, Field, model_validator

from deployments.args import MemoryPolicy, ModelArgs
from models.manifest import Frozen, Name
from models.spec import ModelSpec
from models.store import DEFAULT_STORE
from models.types import VersionId


class PooledModel(ModelSpec):
    """One model of a pool. A pinned one is loaded when a replica starts, and stays."""

    pinned: bool = False


class PoolArgs(Frozen):
    """Arguments of ``deployments.pool_app:build_pool``: many small models in each of a few processes.

    ``memory`` is the budget of one replica, its process included; ``num_loads`` models are loaded at once.
    ``hold_s``: how long a request waits for its model to be loaded. ``max_queued_requests`` bounds the requests of
    one model in one replica, running or waiting. A model keeps to one replica until that has more than
    ``spread_above`` requests and more than its share of all.
    """

    name: Name
    memory: ByteSize = Field(gt=0)
    models: tuple[PooledModel, ...] = Field(min_length=1)
    store: str = DEFAULT_STORE
    num_replicas: int = Field(default=1, gt=0)
    num_cpus: float = Field(default=1, gt=0)
    num_threads: int = Field(default=1, gt=0)
    num_loads: int = Field(default=2, gt=0)
    hold_s: float = Field(default=30, gt=0)
    max_queued_requests: int = Field(default=128, gt=0)
    spread_above: int = Field(default=8, gt=0)
    memory_policy: MemoryPolicy = "warn"

    @model_validator(mode="after")
    def _check_models(self) -> Self:
        ids = [model.id for model in self.models]
        twice = sorted({str(each) for each in ids if ids.count(each) > 1})
        if twice:
            raise ValueError(f"models has {', '.join(twice)} more than once")
        with_vllm = [str(model.id) for model in self.models if model.engine == "vllm"]
        if with_vllm:
            raise ValueError(
                f"models has {', '.join(with_vllm)} with engine vllm, which runs in processes of its own"
            )
        return self

    @property
    def application(self) -> str:
        """The name of the pool's Serve application."""
        return f"pool-{self.name}"

    @property
    def pinned(self) -> frozenset[VersionId]:
        return frozenset(model.id for model in self.models if model.pinned)

    def model_args(self) -> tuple[ModelArgs, ...]:
        """Each model as it would be deployed by itself, on a CPU."""
        return tuple(self._model_args(model) for model in self.models)

    def _model_args(self, model: PooledModel) -> ModelArgs:
        spec = {field: getattr(model, field) for field in ModelSpec.model_fields}
        return ModelArgs(**spec, store=self.store, num_threads=self.num_threads, device="cpu")
