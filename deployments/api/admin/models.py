"""``/admin/models``: what is deployed, and how operators change it while it runs."""

from __future__ import annotations

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from deployments.api.admin.schemas import ChangeBody, DeployedModels, LoadBody, Unloaded, shown
from deployments.api.http.call import call_of
from deployments.api.http.parsing import parse, read_flag
from deployments.repository.orders import Change, LoadOrder
from deployments.repository.service import Repository


class AdminModels:
    """Answers operators."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    async def index(self, request: Request) -> Response:
        """Every deployed version, and what was done to it since the file was deployed."""
        listed = await self._repository.index(call_of(request.scope))
        return JSONResponse(DeployedModels(object="list", data=[shown(each) for each in listed]))

    async def load(self, request: Request) -> Response:
        """Deploy a version that is in the store; 202 when it is not ready yet."""
        body = parse(LoadBody, await request.body())
        order = LoadOrder(body.model, body.version, body.args)
        listed = await self._repository.load(order, call_of(request.scope), wait=body.wait)
        return JSONResponse(shown(listed), HTTPStatus.OK if listed.state.ready else HTTPStatus.ACCEPTED)

    async def change(self, request: Request) -> Response:
        """Change the number of replicas, or pin a model of a pool, without a restart."""
        body = parse(ChangeBody, await request.body())
        change = Change(body.min_replicas, body.max_replicas, body.pinned)
        listed = await self._repository.change(request.path_params["model"], change, call_of(request.scope))
        return JSONResponse(shown(listed))

    async def unload(self, request: Request) -> Response:
        """Take a version away once it has answered what is under way."""
        model, force = request.path_params["model"], read_flag(request.query_params, "force")
        version, was = await self._repository.unload(model, call_of(request.scope), force=force)
        return JSONResponse(Unloaded(id=str(version), object="model", deleted=True, returns=was.is_of_file))
