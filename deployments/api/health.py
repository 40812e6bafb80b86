"""Probes: is the process up, and is every model that should be."""

from __future__ import annotations

from http import HTTPStatus
from typing import Literal

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from typing_extensions import TypedDict

from deployments.api.http.call import call_of
from deployments.api.http.operation import Operation
from deployments.dataplane.door import Condition, Door, Trouble
from deployments.dataplane.operations import DataPlane
from deployments.identity.caller import NOBODY
from deployments.routing.states import ModelState


class ModelReadiness(TypedDict):
    """One deployed version on ``/readyz``."""

    model: str
    version: str
    ready: bool
    status: str
    reason: str | None


class TroubleReport(TypedDict):
    """``since`` in seconds since the epoch; ``reason`` is for callers who may see models."""

    since: float
    reason: str | None


class Books(TypedDict):
    """What is wrong with the router's books, and how much waits for that to end."""

    state_database: TroubleReport | None
    audit_journal: TroubleReport | None
    uncounted_bytes: int
    unwritten_records: int
    lost_records: int


class Readiness(TypedDict):
    """``ready``: every deployed version is. Requests are answered whatever the books' condition."""

    ready: bool
    models: list[ModelReadiness]
    books: Books


class Liveness(TypedDict):
    """The process answers."""

    status: Literal["ok"]


class Health:
    """``/healthz`` and ``/readyz``."""

    def __init__(self, dataplane: DataPlane, door: Door) -> None:
        self._dataplane = dataplane
        self._door = door

    async def alive(self, _: Request) -> Response:
        """200 for as long as the process answers."""
        return JSONResponse(Liveness(status="ok"))

    async def ready(self, request: Request) -> Response:
        """200 when every version is ready, else 503; with state and reason of those that the caller may use."""
        call = call_of(request.scope)
        states = await self._dataplane.states(call)
        ready = await self._dataplane.all_ready()
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        books = _books(self._door.condition(), is_known=call.caller is not NOBODY)
        models = [_readiness(state) for state in states]
        return JSONResponse(Readiness(ready=ready, models=models, books=books), status)


def operations(dataplane: DataPlane, door: Door) -> tuple[Operation, ...]:
    """The probes."""
    health = Health(dataplane, door)
    return (
        Operation("GET", "/healthz", health.alive, Liveness),
        Operation(
            "GET", "/readyz", health.ready, Readiness, statuses=(HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE)
        ),
    )


def _books(condition: Condition, *, is_known: bool) -> Books:
    return Books(
        state_database=_trouble(condition.state, is_known=is_known),
        audit_journal=_trouble(condition.journal, is_known=is_known),
        uncounted_bytes=condition.uncounted_bytes,
        unwritten_records=condition.num_unwritten,
        lost_records=condition.num_lost,
    )


def _trouble(trouble: Trouble | None, *, is_known: bool) -> TroubleReport | None:
    if trouble is None:
        return None
    return TroubleReport(since=trouble.since, reason=trouble.reason if is_known else None)


def _readiness(state: ModelState) -> ModelReadiness:
    return ModelReadiness(
        model=state.id.name,
        version=state.id.version,
        ready=state.ready,
        status=state.status,
        reason=state.reason,
    )
