"""Where OpenAI's protocol is served."""

from __future__ import annotations

from starlette.routing import Route

from deployments.api.openai.chat import ChatEndpoint
from deployments.api.openai.completions import CompletionEndpoint
from deployments.api.openai.embeddings import EmbeddingEndpoint
from deployments.api.openai.models import ModelsEndpoint
from deployments.dataplane.operations import DataPlane


def routes(dataplane: DataPlane) -> list[Route]:
    """The routes under ``/v1``."""
    models = ModelsEndpoint(dataplane)
    return [
        Route("/v1/chat/completions", ChatEndpoint(dataplane).create, methods=["POST"]),
        Route("/v1/completions", CompletionEndpoint(dataplane).create, methods=["POST"]),
        Route("/v1/embeddings", EmbeddingEndpoint(dataplane).create, methods=["POST"]),
        Route("/v1/models", models.index),
        Route("/v1/models/{model}", models.show),
    ]
