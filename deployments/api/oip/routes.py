"""Where the Open Inference Protocol is served."""

from __future__ import annotations

from collections.abc import Callable, Coroutine

from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp

from deployments.api.oip.generate import GenerateEndpoint
from deployments.api.oip.infer import InferEndpoint
from deployments.api.oip.metadata import MetadataEndpoint
from deployments.dataplane.operations import DataPlane

Endpoint = Callable[[Request], Coroutine[None, None, ASGIApp]]


def routes(dataplane: DataPlane, server_version: str) -> list[Route]:
    """The routes under ``/v2``."""
    metadata = MetadataEndpoint(dataplane, server_version)
    generate = GenerateEndpoint(dataplane)
    return [
        Route("/v2", metadata.server),
        Route("/v2/health/live", metadata.live),
        Route("/v2/health/ready", metadata.ready),
        Route("/v2/repository/index", metadata.index, methods=["POST"]),
        *_of_model("", metadata.model, "GET"),
        *_of_model("/ready", metadata.model_ready, "GET"),
        *_of_model("/infer", InferEndpoint(dataplane).infer, "POST"),
        *_of_model("/generate", generate.generate, "POST"),
        *_of_model("/generate_stream", generate.generate_stream, "POST"),
    ]


def _of_model(action: str, endpoint: Endpoint, method: str) -> list[Route]:
    """The route of an action on a model, and the same with its version."""
    paths = (f"/v2/models/{{model}}{action}", f"/v2/models/{{model}}/versions/{{version}}{action}")
    return [Route(path, endpoint, methods=[method]) for path in paths]
