"""Probes: is the process up, and is every model that should be."""

from __future__ import annotations

from http import HTTPStatus
from typing import Literal

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from typing_extensions import TypedDict

from deployments.api.http.call import call_of
from deployments.api.http.operation import Operation
from deployments.dataplane.operations import DataPlane
from deployments.routing.states import ModelState


class ModelReadiness(TypedDict):
    """One deployed version on ``/readyz``."""

    model: str
    version: str
    ready: bool
    status: str
    reason: str | None


class Readiness(TypedDict):
    """``ready``: every deployed version is."""

    ready: bool
    models: list[ModelReadiness]


class Liveness(TypedDict):
    """The process answers."""

    status: Literal["ok"]


class Health:
    """``/healthz`` and ``/readyz``."""

    def __init__(self, dataplane: DataPlane) -> None:
        self._dataplane = dataplane

    async def alive(self, _: Request) -> Response:
        """200 for as long as the process answers."""
        return JSONResponse(Liveness(status="ok"))

    async def ready(self, request: Request) -> Response:
        """200 when every version is ready, else 503; with state and reason of those that the caller may use."""
        states = await self._dataplane.states(call_of(request.scope))
        ready = await self._dataplane.all_ready()
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        return JSONResponse({"ready": ready, "models": [_readiness(state) for state in states]}, status)


def operations(dataplane: DataPlane) -> tuple[Operation, ...]:
    """The probes."""
    health = Health(dataplane)
    return (
        Operation("GET", "/healthz", health.alive, Liveness),
        Operation(
            "GET", "/readyz", health.ready, Readiness, statuses=(HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE)
        ),
    )


def _readiness(state: ModelState) -> ModelReadiness:
    return ModelReadiness(
        model=state.id.name,
        version=state.id.version,
        ready=state.ready,
        status=state.status,
        reason=state.reason,
    )
