"""What the server and its models are, and whether they are ready."""

from __future__ import annotations

from collections.abc import Sequence

from deployments.dataplane.call import Call
from deployments.dataplane.operations import DataPlane
from deployments.grpc.generation import TEXT_INPUT, TEXT_OUTPUT
from deployments.grpc.inference_pb2 import (
    ModelMetadataRequest,
    ModelMetadataResponse,
    ModelReadyRequest,
    ModelReadyResponse,
    RepositoryIndexRequest,
    RepositoryIndexResponse,
    ServerMetadataRequest,
    ServerMetadataResponse,
    ServerReadyResponse,
)
from deployments.oip.target import target_of
from deployments.routing.states import ModelState
from models.types import ModelCard, Task, TensorSpec

EXTENSIONS = ("binary_tensor_data", "model_repository")
TensorMetadata = ModelMetadataResponse.TensorMetadata
ModelIndex = RepositoryIndexResponse.ModelIndex


class Metadata:
    """Answers questions about the server and its models."""

    def __init__(self, dataplane: DataPlane, server_version: str) -> None:
        self._dataplane = dataplane
        self._server = ServerMetadataResponse(name="stowage", version=server_version, extensions=EXTENSIONS)

    async def server_ready(self) -> ServerReadyResponse:
        """Whether every deployed version is."""
        return ServerReadyResponse(ready=await self._dataplane.all_ready())

    async def server(self, _: ServerMetadataRequest, _call: Call) -> ServerMetadataResponse:
        """Name, version and extensions."""
        return self._server

    async def model_ready(self, request: ModelReadyRequest, call: Call) -> ModelReadyResponse:
        """Whether the version that the request resolves to is."""
        state = await self._dataplane.state(target_of(request.name, request.version), call)
        return ModelReadyResponse(ready=state.ready)

    async def model(self, request: ModelMetadataRequest, call: Call) -> ModelMetadataResponse:
        """The model's ready versions, engine and tensors."""
        card = await self._dataplane.card(target_of(request.name, request.version), call)
        cards = await self._dataplane.cards(call)
        inputs, outputs = _tensors(card)
        return ModelMetadataResponse(
            name=card.id.name,
            versions=[other.id.version for other in cards if other.id.name == card.id.name],
            platform=card.engine,
            inputs=[_tensor(spec) for spec in inputs],
            outputs=[_tensor(spec) for spec in outputs],
        )

    async def index(self, request: RepositoryIndexRequest, call: Call) -> RepositoryIndexResponse:
        """Every deployed version, or only those that are ready."""
        states = await self._dataplane.states(call)
        listed = [_index_entry(state) for state in states if state.ready or not request.ready]
        return RepositoryIndexResponse(models=listed)


def _tensors(card: ModelCard) -> tuple[Sequence[TensorSpec], Sequence[TensorSpec]]:
    """What ModelInfer takes and gives: of a generation, tensors that the model itself does not have."""
    if card.task is Task.GENERATE:
        return (TEXT_INPUT,), (TEXT_OUTPUT,)
    return card.inputs, card.outputs


def _tensor(spec: TensorSpec) -> TensorMetadata:
    return TensorMetadata(name=spec.name, datatype=spec.datatype, shape=spec.shape)


def _index_entry(state: ModelState) -> ModelIndex:
    return ModelIndex(
        name=state.id.name,
        version=state.id.version,
        state="READY" if state.ready else "UNAVAILABLE",
        reason=state.reason or "",
    )
