"""One call of a protocol, told once: the router serves it and /openapi.json describes it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal

from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp
from typing_extensions import TypeForm

from deployments.api.http.parsing import WireModel

Endpoint = Callable[[Request], Coroutine[None, None, ASGIApp]]


@dataclass(frozen=True, slots=True)
class Operation:
    """``body`` is what the request carries as JSON, ``reply`` the type of the JSON that comes back.

    ``event`` is the type of one server-sent event, for an operation that can stream; one with only that always
    does. One with neither answers with nothing. ``end_mark`` is the data of the event after the last one.
    ``statuses`` are those with the reply as their body. ``binary``: bodies both ways may have tensors behind their
    JSON. ``flags`` are query parameters that are true or false. What an operation does is the first line of the
    endpoint's docstring.
    """

    method: Literal["GET", "POST", "PATCH", "DELETE"]
    path: str
    endpoint: Endpoint
    reply: TypeForm[object] | None
    body: type[WireModel] | None = None
    body_required: bool = True
    event: TypeForm[object] | None = None
    end_mark: str | None = None
    statuses: tuple[HTTPStatus, ...] = (HTTPStatus.OK,)
    binary: bool = False
    flags: tuple[str, ...] = ()

    def route(self) -> Route:
        """Where Starlette finds it."""
        return Route(self.path, self.endpoint, methods=[self.method])


@dataclass(frozen=True, slots=True)
class Section:
    """The operations that belong together, and the type of the body of their errors."""

    name: str
    error: TypeForm[object]
    operations: tuple[Operation, ...]
