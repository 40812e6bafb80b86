"""What Stowage can do for a caller, in no protocol's words. Protocol modules call this and nothing below it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from models.types import (
    EmbeddingRequest,
    EmbeddingResult,
    GenerationChunk,
    GenerationRequest,
    InferRequest,
    ModelCard,
    Tensor,
    VersionId,
)


@dataclass(frozen=True, slots=True)
class ModelState:
    """One deployed version as Serve sees it. ``reason`` says why it is not ready."""

    id: VersionId
    ready: bool
    status: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class GenerationStream:
    """A generation whose first chunk has arrived. Close ``chunks`` to cancel the work."""

    version: VersionId
    chunks: AsyncGenerator[GenerationChunk]


class DataPlane:
    """The operations of the router. ``model`` is ``name`` or ``name@version``; timeouts are in seconds.

    Raises ModelNotFoundError, ModelUnavailableError, WrongTaskError, InvalidRequestError (and its children),
    DeadlineExceededError and EngineError; nothing waits longer than ``timeout_s``.
    """

    async def generate(self, model: str, request: GenerationRequest, timeout_s: float) -> GenerationStream:
        """Start a generation. Returns when its first chunk is there, so that errors come before any output."""
        raise NotImplementedError

    async def embed(
        self, model: str, request: EmbeddingRequest, timeout_s: float
    ) -> tuple[VersionId, EmbeddingResult]:
        """Embed every input, in order."""
        raise NotImplementedError

    async def infer(
        self, model: str, request: InferRequest, timeout_s: float
    ) -> tuple[VersionId, tuple[Tensor, ...]]:
        """Run the model on named tensors."""
        raise NotImplementedError

    async def cards(self) -> list[ModelCard]:
        """The cards of all versions that are ready, sorted by id."""
        raise NotImplementedError

    async def card(self, model: str) -> ModelCard:
        """The card of the version that ``model`` resolves to."""
        raise NotImplementedError

    async def states(self) -> list[ModelState]:
        """Every deployed version, ready or not, sorted by id."""
        raise NotImplementedError

    async def state(self, model: str) -> ModelState:
        """The state of the version that ``model`` resolves to, ready or not."""
        raise NotImplementedError
