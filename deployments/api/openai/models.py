"""``GET /v1/models`` and ``/v1/models/{id}``."""

from __future__ import annotations

from collections import defaultdict
from typing import Literal

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from typing_extensions import TypedDict

from deployments.api.http.call import call_of
from deployments.dataplane.operations import DataPlane


class Model(TypedDict):
    """A name that calls may carry in their ``model`` field."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: Literal["stowage"]


class ModelList(TypedDict):
    """Every name that can be called now."""

    object: Literal["list"]
    data: list[Model]


class ModelsEndpoint:
    """Lists what can be called now."""

    def __init__(self, dataplane: DataPlane) -> None:
        self._dataplane = dataplane

    async def index(self, request: Request) -> Response:
        """For every ready model its name, which stands for the default version, and each ``name@version``."""
        versions: defaultdict[str, list[Model]] = defaultdict(list)
        for card in await self._dataplane.cards(call_of(request.scope)):
            versions[card.id.name].append(_model(str(card.id), card.created_unix_s))
        models: list[Model] = []
        for name, listed in versions.items():
            models += [_model(name, max(version["created"] for version in listed)), *listed]
        return JSONResponse(ModelList(object="list", data=models))

    async def show(self, request: Request) -> Response:
        """One model, by name or ``name@version``."""
        model = request.path_params["model"]
        card = await self._dataplane.card(model, call_of(request.scope))
        return JSONResponse(_model(model, card.created_unix_s))


def _model(model: str, created_unix_s: int) -> Model:
    return Model(id=model, object="model", created=created_unix_s, owned_by="stowage")
