"""Loading and unloading of models, as Triton's clients ask for it."""

from __future__ import annotations

from deployments.api.http.loading import LoadParameters, UnloadParameters
from deployments.dataplane.call import Call
from deployments.grpc.inference_pb2 import (
    RepositoryModelLoadRequest,
    RepositoryModelLoadResponse,
    RepositoryModelUnloadRequest,
    RepositoryModelUnloadResponse,
)
from deployments.grpc.parameters import read_parameters
from deployments.repository.service import Repository


class ModelRepository:
    """Answers with nothing when it is done."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    async def load(self, request: RepositoryModelLoadRequest, call: Call) -> RepositoryModelLoadResponse:
        """Deploy a version that is in the store, and return when it is ready."""
        order = read_parameters(LoadParameters, request.parameters).order(request.model_name)
        await self._repository.load(order, call)
        return RepositoryModelLoadResponse()

    async def unload(self, request: RepositoryModelUnloadRequest, call: Call) -> RepositoryModelUnloadResponse:
        """Take a version away, and return when it has answered what is under way."""
        parameters = read_parameters(UnloadParameters, request.parameters)
        await self._repository.unload(request.model_name, call, force=parameters.force)
        return RepositoryModelUnloadResponse()
