"""What the server and its models are, and whether they are ready."""

from __future__ import annotations

from http import HTTPStatus
from typing import NotRequired

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from typing_extensions import TypedDict

from deployments.api.http.call import call_of
from deployments.api.http.parsing import parse
from deployments.api.oip.schemas import IndexBody
from deployments.api.oip.target import target
from deployments.dataplane.operations import DataPlane
from deployments.routing.states import ModelState
from models.types import TensorSpec

EXTENSIONS = ("binary_tensor_data", "generate", "model_repository")


class ServerMetadata(TypedDict):
    """What the server is."""

    name: str
    version: str
    extensions: list[str]


class ServerLive(TypedDict):
    """The process answers."""

    live: bool


class Ready(TypedDict):
    """Of the whole server, or of the version that is named."""

    name: NotRequired[str]
    version: NotRequired[str]
    ready: bool


class TensorMetadata(TypedDict):
    """A tensor that a model takes or gives; -1 marks a dimension that varies."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(TypedDict):
    """What a model is; ``platform`` is its engine."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class IndexEntry(TypedDict):
    """One version in the repository index."""

    name: str
    version: str
    state: str
    reason: str


class MetadataEndpoint:
    """Answers questions about the server and its models."""

    def __init__(self, dataplane: DataPlane, server_version: str) -> None:
        self._dataplane = dataplane
        self._server_version = server_version

    async def server(self, _: Request) -> Response:
        """Name, version and extensions."""
        server = ServerMetadata(name="stowage", version=self._server_version, extensions=list(EXTENSIONS))
        return JSONResponse(server)

    async def live(self, _: Request) -> Response:
        """200 for as long as the process answers."""
        return JSONResponse(ServerLive(live=True))

    async def ready(self, _: Request) -> Response:
        """200 when every deployed version is ready, else 503."""
        return _readiness(Ready(ready=await self._dataplane.all_ready()))

    async def model_ready(self, request: Request) -> Response:
        """200 when the version that the path resolves to is ready, else 503."""
        state = await self._dataplane.state(target(request), call_of(request.scope))
        return _readiness(Ready(name=state.id.name, version=state.id.version, ready=state.ready))

    async def model(self, request: Request) -> Response:
        """The model's ready versions, engine and tensors."""
        call = call_of(request.scope)
        card = await self._dataplane.card(target(request), call)
        cards = await self._dataplane.cards(call)
        versions = [other.id.version for other in cards if other.id.name == card.id.name]
        return JSONResponse(
            ModelMetadata(
                name=card.id.name,
                versions=versions,
                platform=card.engine,
                inputs=[_tensor(spec) for spec in card.inputs],
                outputs=[_tensor(spec) for spec in card.outputs],
            )
        )

    async def index(self, request: Request) -> Response:
        """Every deployed version, as in Triton's repository index."""
        content = await request.body()
        ready_only = bool(content) and parse(IndexBody, content).ready
        states = await self._dataplane.states(call_of(request.scope))
        return JSONResponse([_index_entry(state) for state in states if state.ready or not ready_only])


def _readiness(ready: Ready) -> Response:
    return JSONResponse(ready, HTTPStatus.OK if ready["ready"] else HTTPStatus.SERVICE_UNAVAILABLE)


def _tensor(spec: TensorSpec) -> TensorMetadata:
    return TensorMetadata(name=spec.name, datatype=spec.datatype, shape=list(spec.shape))


def _index_entry(state: ModelState) -> IndexEntry:
    return IndexEntry(
        name=state.id.name,
        version=state.id.version,
        state="READY" if state.ready else "UNAVAILABLE",
        reason=state.reason or "",
    )
