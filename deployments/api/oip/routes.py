"""Where the Open Inference Protocol is served."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus

from deployments.api.http.operation import Operation
from deployments.api.oip.errors import OipError
from deployments.api.oip.generate import GenerateBody, GenerateEndpoint, GenerateReply
from deployments.api.oip.infer import InferEndpoint
from deployments.api.oip.metadata import (
    IndexEntry,
    MetadataEndpoint,
    ModelMetadata,
    Ready,
    ServerLive,
    ServerMetadata,
)
from deployments.api.oip.schemas import IndexBody, InferBody
from deployments.api.oip.wire import InferReply
from deployments.dataplane.operations import DataPlane

_MODEL = "/v2/models/{model}"
_READINESS = (HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE)


def operations(dataplane: DataPlane, server_version: str) -> tuple[Operation, ...]:
    """What is served under ``/v2``."""
    metadata = MetadataEndpoint(dataplane, server_version)
    index = metadata.index
    return (
        Operation("GET", "/v2", metadata.server, ServerMetadata),
        Operation("GET", "/v2/health/live", metadata.live, ServerLive),
        Operation("GET", "/v2/health/ready", metadata.ready, Ready, statuses=_READINESS),
        Operation("POST", "/v2/repository/index", index, list[IndexEntry], IndexBody, body_required=False),
        *(each for of_model in _of_a_model(dataplane, metadata) for each in (of_model, _with_version(of_model))),
    )


def _of_a_model(dataplane: DataPlane, metadata: MetadataEndpoint) -> tuple[Operation, ...]:
    generate = GenerateEndpoint(dataplane)
    infer = InferEndpoint(dataplane).infer
    stream = generate.generate_stream
    return (
        Operation("GET", _MODEL, metadata.model, ModelMetadata),
        Operation("GET", f"{_MODEL}/ready", metadata.model_ready, Ready, statuses=_READINESS),
        Operation("POST", f"{_MODEL}/infer", infer, InferReply, InferBody, binary=True),
        Operation("POST", f"{_MODEL}/generate", generate.generate, GenerateReply, GenerateBody),
        Operation("POST", f"{_MODEL}/generate_stream", stream, None, GenerateBody, event=GenerateReply | OipError),
    )


def _with_version(operation: Operation) -> Operation:
    return replace(operation, path=operation.path.replace(_MODEL, f"{_MODEL}/versions/{{version}}"))
