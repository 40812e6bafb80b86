"""What an engine is: it loads one model version and computes. No Ray, no HTTP.

An engine is ready when its constructor returns. Every engine class has the same constructor,
``Engine(folder, manifest, settings, parts)``, so that the registry can build any of them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from models.parallel.layout import GroupLayout
from models.types import (
    EmbeddingResult,
    EngineStats,
    GenerationChunk,
    GenerationRequest,
    InferRequest,
    Tensor,
    TensorSpec,
)


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Limits that the plan fixed; the engine allocates from these and from nothing else.

    ``max_model_len``, ``max_batch_tokens`` and ``page_size`` are in tokens, ``num_kv_pages`` counts pages of
    ``page_size`` tokens across all layers, ``max_batch_size`` counts inputs of one forward pass.
    ``kv_cache_bytes`` is what those pages take, for engines that want the size. ``device`` is ``cpu`` or, as
    the process sees it, ``cuda:0``. ``device_cap_bytes``: all that the engine may take of the device, beside the
    process or device context itself; None where nothing is planned. ``keeps_heap``: the process keeps what a
    generation step frees for the next step, so the engine gives it back when there is none. ``group``: how the
    model is divided between ranks, None for one. ``vllm_python``: the interpreter that has vLLM installed.
    ``sleep_after_s``: vLLM leaves the GPU when no request came for so long; None: never. ``stall_timeout_s``: of
    vLLM's ranks, how long a step may take before the engine ends; None: what vLLM allows.
    """

    max_model_len: int
    max_num_seqs: int = 8
    max_batch_tokens: int = 512
    max_batch_size: int = 32
    page_size: int = 32
    num_kv_pages: int = 0
    kv_cache_bytes: int = 0
    num_threads: int = 1
    device: str = "cpu"
    device_cap_bytes: int | None = None
    keeps_heap: bool = False
    group: GroupLayout | None = None
    vllm_python: Path | None = None
    sleep_after_s: float | None = None
    stall_timeout_s: float | None = None


class Engine(Protocol):
    """Common to all engines."""

    name: str

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The tensors that the model takes, for metadata."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The tensors that the model gives, for metadata."""

    def check(self) -> None:
        """EngineError when the engine can no longer serve; called by the health check, in the event loop."""

    def stats(self) -> EngineStats:
        """A snapshot of the load, cheap enough to be taken every second."""

    def close(self) -> None:
        """Stop all work and free what the engine holds; idempotent."""


class GroupLeader(Engine, Protocol):
    """The engine of rank 0 of a group."""

    def abort(self, cause: str) -> None:
        """Fail every request that is in the engine, with this cause; from any thread."""


@runtime_checkable
class GenerationEngine(Engine, Protocol):
    """Continues prompts."""

    def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationChunk]:
        """Stream the continuation; closing the generator cancels the request within one engine step.

        InvalidRequestError (before the first chunk) for a request that can never be served;
        EngineError when the engine fails.
        """


@runtime_checkable
class EmbeddingEngine(Engine, Protocol):
    """Turns texts into vectors. Blocking: call it from a worker thread."""

    embedding_dim: int

    def tokenize(self, inputs: Sequence[str | tuple[int, ...]]) -> list[tuple[int, ...]]:
        """The token ids of each input, ready to embed; ContextLengthError for one that is too long."""

    def embed(self, inputs: Sequence[str | tuple[int, ...]]) -> EmbeddingResult:
        """One vector for each input, in order; any number of inputs, batched inside."""


@runtime_checkable
class TensorEngine(Engine, Protocol):
    """Runs a graph on named tensors. Blocking: call it from a worker thread."""

    def infer(self, request: InferRequest) -> tuple[Tensor, ...]:
        """The outputs asked for, in that order. InvalidRequestError names the tensor at fault."""
