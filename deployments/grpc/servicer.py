"""The service of inference.proto, for the router to inherit from: Serve calls its methods by their names there."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from deployments.dataplane.door import Door
from deployments.dataplane.operations import DataPlane
from deployments.grpc.attendant import Attendant
from deployments.grpc.inference import Inference
from deployments.grpc.inference_pb2 import (
    ModelInferRequest,
    ModelInferResponse,
    ModelMetadataRequest,
    ModelMetadataResponse,
    ModelReadyRequest,
    ModelReadyResponse,
    ModelStreamInferResponse,
    RepositoryIndexRequest,
    RepositoryIndexResponse,
    RepositoryModelLoadRequest,
    RepositoryModelLoadResponse,
    RepositoryModelUnloadRequest,
    RepositoryModelUnloadResponse,
    ServerLiveRequest,
    ServerLiveResponse,
    ServerMetadataRequest,
    ServerMetadataResponse,
    ServerReadyRequest,
    ServerReadyResponse,
)
from deployments.grpc.metadata import Metadata
from deployments.grpc.reception import GrpcSettings, Reception
from deployments.grpc.repository import ModelRepository
from deployments.grpc.rpc import RpcContext
from deployments.repository.service import Repository


class GrpcService:
    """Serve passes the RPC's context to an argument of the name ``grpc_context``.

    ServerLive and ServerReady need no key and are not written down, as the probes over HTTP.
    """

    def __init__(self, dataplane: DataPlane, door: Door, settings: GrpcSettings, repository: Repository) -> None:
        self._attendant = Attendant(Reception(door, settings))
        self._metadata = Metadata(dataplane, settings.server_version)
        self._inference = Inference(dataplane, settings.max_message_bytes)
        self._models = ModelRepository(repository)

    async def ServerLive(self, _: ServerLiveRequest) -> ServerLiveResponse:
        return ServerLiveResponse(live=True)

    async def ServerReady(self, _: ServerReadyRequest) -> ServerReadyResponse:
        return await self._metadata.server_ready()

    async def ServerMetadata(
        self, request: ServerMetadataRequest, grpc_context: RpcContext
    ) -> ServerMetadataResponse:
        return await self._attendant.answer(grpc_context, request, self._metadata.server, ServerMetadataResponse)

    async def ModelReady(self, request: ModelReadyRequest, grpc_context: RpcContext) -> ModelReadyResponse:
        return await self._attendant.answer(grpc_context, request, self._metadata.model_ready, ModelReadyResponse)

    async def ModelMetadata(
        self, request: ModelMetadataRequest, grpc_context: RpcContext
    ) -> ModelMetadataResponse:
        return await self._attendant.answer(grpc_context, request, self._metadata.model, ModelMetadataResponse)

    async def RepositoryIndex(
        self, request: RepositoryIndexRequest, grpc_context: RpcContext
    ) -> RepositoryIndexResponse:
        return await self._attendant.answer(grpc_context, request, self._metadata.index, RepositoryIndexResponse)

    async def RepositoryModelLoad(
        self, request: RepositoryModelLoadRequest, grpc_context: RpcContext
    ) -> RepositoryModelLoadResponse:
        return await self._attendant.answer(grpc_context, request, self._models.load, RepositoryModelLoadResponse)

    async def RepositoryModelUnload(
        self, request: RepositoryModelUnloadRequest, grpc_context: RpcContext
    ) -> RepositoryModelUnloadResponse:
        return await self._attendant.answer(
            grpc_context, request, self._models.unload, RepositoryModelUnloadResponse
        )

    async def ModelInfer(self, request: ModelInferRequest, grpc_context: RpcContext) -> ModelInferResponse:
        return await self._attendant.answer(grpc_context, request, self._inference.whole, ModelInferResponse)

    async def ModelStreamInfer(
        self, requests: AsyncIterator[ModelInferRequest], grpc_context: RpcContext
    ) -> AsyncGenerator[ModelStreamInferResponse]:
        answers = self._attendant.answer_each(grpc_context, requests, self._inference.parts)
        async with aclosing(answers) as responses:
            async for response in responses:
                yield response
