"""What the data plane asks of a model, wherever it runs. The seam between protocols and Ray."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from models.types import (
    EmbeddingRequest,
    EmbeddingResult,
    GenerationChunk,
    GenerationRequest,
    InferRequest,
    Tensor,
    VersionId,
)


class ModelClient(Protocol):
    """One model version, wherever its replicas are. Raises only what models/errors.py has."""

    def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationChunk]:
        """Stream a generation; closing the generator cancels it in the engine."""

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResult:
        """Embed; cancelling the call cancels the work."""

    async def infer(self, request: InferRequest) -> tuple[Tensor, ...]:
        """Run on tensors; cancelling the call cancels the work."""


class ModelClients(Protocol):
    """Where the data plane gets its clients."""

    async def client(self, version: VersionId, pool: str | None = None) -> ModelClient:
        """``pool`` is the application that hosts the version with others, None when it has one of its own.

        ModelUnavailableError when the application has just gone.
        """
