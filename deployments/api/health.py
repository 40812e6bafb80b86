"""Probes: is the process up, and is every model that should be."""

from __future__ import annotations

from http import HTTPStatus
from typing import TypedDict

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deployments.api.http.call import call_of
from deployments.dataplane.operations import DataPlane
from deployments.routing.states import ModelState


class ModelReadiness(TypedDict):
    """One deployed version on ``/readyz``."""

    model: str
    version: str
    ready: bool
    status: str
    reason: str | None


class Health:
    """``/healthz`` and ``/readyz``."""

    def __init__(self, dataplane: DataPlane) -> None:
        self._dataplane = dataplane

    async def alive(self, _: Request) -> Response:
        """200 for as long as the process answers."""
        return JSONResponse({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """200 when every deployed version is ready, else 503; either way, each version's state and reason."""
        states = await self._dataplane.states(call_of(request.scope))
        ready = all(state.ready for state in states)
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        return JSONResponse({"ready": ready, "models": [_readiness(state) for state in states]}, status)


def routes(dataplane: DataPlane) -> list[Route]:
    """The probes' routes."""
    health = Health(dataplane)
    return [Route("/healthz", health.alive), Route("/readyz", health.ready)]


def _readiness(state: ModelState) -> ModelReadiness:
    return ModelReadiness(
        model=state.id.name,
        version=state.id.version,
        ready=state.ready,
        status=state.status,
        reason=state.reason,
    )
