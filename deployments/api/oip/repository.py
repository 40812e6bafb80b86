"""``/v2/repository/models/{model}/load`` and ``unload``, as Triton's clients call them."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from deployments.api.http.call import call_of
from deployments.api.http.loading import LoadParameters, UnloadParameters
from deployments.api.http.operation import Operation
from deployments.api.http.parsing import WireModel, parse
from deployments.repository.service import Repository

_MODEL = "/v2/repository/models/{model}"


class ModelLoadBody(WireModel):
    """The body of a load call."""

    parameters: LoadParameters = LoadParameters()


class ModelUnloadBody(WireModel):
    """The body of an unload call."""

    parameters: UnloadParameters = UnloadParameters()


class RepositoryEndpoint:
    """Loads and unloads. Both answer with nothing when it is done."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    async def load(self, request: Request) -> Response:
        """Deploy a version that is in the store, and return when it is ready."""
        body = parse(ModelLoadBody, await request.body() or b"{}")
        order = body.parameters.order(request.path_params["model"])
        await self._repository.load(order, call_of(request.scope))
        return Response()

    async def unload(self, request: Request) -> Response:
        """Take a version away, and return when it has answered what is under way."""
        body = parse(ModelUnloadBody, await request.body() or b"{}")
        model = request.path_params["model"]
        await self._repository.unload(model, call_of(request.scope), force=body.parameters.force)
        return Response()


def operations(repository: Repository) -> tuple[Operation, ...]:
    """The model repository extension, but for its index."""
    endpoint = RepositoryEndpoint(repository)
    return (
        Operation("POST", f"{_MODEL}/load", endpoint.load, None, ModelLoadBody, body_required=False),
        Operation("POST", f"{_MODEL}/unload", endpoint.unload, None, ModelUnloadBody, body_required=False),
    )
