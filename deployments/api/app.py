"""The HTTP application: the protocols side by side on one data plane."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deployments.api import health
from deployments.api.admin import routes as admin
from deployments.api.anthropic import routes as anthropic
from deployments.api.anthropic.errors import ErrorReply
from deployments.api.error_formats import error_format_of
from deployments.api.http.access import AccessMiddleware
from deployments.api.http.call import call_of
from deployments.api.http.disconnect import ConnectionMiddleware
from deployments.api.http.errors import report, respond
from deployments.api.http.middleware import (
    ErrorMiddleware,
    RequestIdMiddleware,
    request_id_of,
)
from deployments.api.http.operation import Section
from deployments.api.http.settings import ApiSettings
from deployments.api.oip import repository as oip_repository
from deployments.api.oip import routes as oip
from deployments.api.oip.errors import OipError
from deployments.api.openai import routes as openai
from deployments.api.openai.errors import ErrorBody
from deployments.api.openapi import openapi_route
from deployments.api.rerank import routes as rerank
from deployments.dataplane.door import Door, OpenDoor
from deployments.dataplane.operations import DataPlane
from deployments.repository.accounts import ScalingAccounts
from deployments.repository.service import Repository

_BUSIEST = frozenset({"/v1/chat/completions", "/v1/embeddings", "/v1/messages", "/v2/models/{model}/infer"})


@dataclass(frozen=True, slots=True)
class Operators:
    """What answers them: ``repository`` changes what is deployed, ``accounts`` say why so many replicas run."""

    repository: Repository
    accounts: ScalingAccounts


def build_app(
    dataplane: DataPlane, settings: ApiSettings, door: Door | None = None, operators: Operators | None = None
) -> Starlette:
    """An ASGI application that answers every HTTP protocol, probes, and what all of that is as OpenAPI.

    ``door`` lets calls in and keeps the books; None: everybody comes in. ``operators``: None: nobody changes what
    is deployed.
    """
    door = door or OpenDoor()
    sections = (*_sections(dataplane, settings, door), *(_operators_sections(operators) if operators else ()))
    return Starlette(
        routes=[
            *_busiest_first(operation.route() for section in sections for operation in section.operations),
            openapi_route(sections, settings.server_version, settings.public_paths),
        ],
        middleware=[
            Middleware(RequestIdMiddleware, settings.adds_request_id),
            Middleware(AccessMiddleware, settings, door, error_format_of),
            Middleware(ErrorMiddleware, error_format_of),
            Middleware(ConnectionMiddleware, settings.max_body_bytes, settings.is_cancelled),
        ],
        exception_handlers={HTTPException: _unroutable},
    )


def _busiest_first(routes: Iterable[Route]) -> list[Route]:
    """Starlette tries one after the other."""
    return sorted(routes, key=lambda route: route.path not in _BUSIEST)


def _sections(dataplane: DataPlane, settings: ApiSettings, door: Door) -> tuple[Section, ...]:
    return (
        Section("OpenAI", ErrorBody, openai.operations(dataplane)),
        Section("Rerank", ErrorBody, rerank.operations(dataplane)),
        Section("Anthropic", ErrorReply, anthropic.operations(dataplane)),
        Section("Open Inference Protocol", OipError, oip.operations(dataplane, settings.server_version)),
        Section("Probes", OipError, health.operations(dataplane, door)),
    )


def _operators_sections(operators: Operators) -> tuple[Section, ...]:
    repository = operators.repository
    return (
        Section("Model repository", OipError, oip_repository.operations(repository)),
        Section("Administration", ErrorBody, admin.operations(repository, operators.accounts)),
    )


async def _unroutable(request: Request, error: Exception) -> Response:
    call_of(request.scope).tally.error = error
    problem = report(error, request_id_of(request.scope))
    named = replace(problem, message=f"{problem.message}: {request.method} {request.url.path}")
    return respond(named, error_format_of(request.url.path))
