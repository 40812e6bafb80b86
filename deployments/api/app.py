"""The HTTP application: the protocols side by side on one data plane."""

from __future__ import annotations

from dataclasses import replace

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from deployments.api import health
from deployments.api.http.disconnect import ConnectionMiddleware
from deployments.api.http.errors import ErrorFormat, report, respond
from deployments.api.http.middleware import (
    AdmissionMiddleware,
    ErrorMiddleware,
    RequestIdMiddleware,
    request_id_of,
)
from deployments.api.http.settings import ApiSettings
from deployments.api.oip import routes as oip
from deployments.api.oip.errors import error_body as oip_error
from deployments.api.openai import routes as openai
from deployments.api.openai.errors import error_body as openai_error
from deployments.dataplane.operations import DataPlane


def build_app(dataplane: DataPlane, settings: ApiSettings) -> Starlette:
    """An ASGI application that answers OpenAI's protocol, the Open Inference Protocol v2, and probes."""
    return Starlette(
        routes=[
            *health.routes(dataplane),
            *openai.routes(dataplane),
            *oip.routes(dataplane, settings.server_version),
        ],
        middleware=[
            Middleware(RequestIdMiddleware, settings.adds_request_id),
            Middleware(ErrorMiddleware, error_format_of),
            Middleware(AdmissionMiddleware, settings),
            Middleware(ConnectionMiddleware, settings.max_body_bytes),
        ],
        exception_handlers={HTTPException: _unroutable},
    )


def error_format_of(path: str) -> ErrorFormat:
    """The format of errors under this path: OpenAI's under ``/v1``, else the Open Inference Protocol's."""
    return openai_error if path == "/v1" or path.startswith("/v1/") else oip_error


async def _unroutable(request: Request, error: Exception) -> Response:
    problem = report(error, request_id_of(request.scope))
    named = replace(problem, message=f"{problem.message}: {request.method} {request.url.path}")
    return respond(named, error_format_of(request.url.path))
