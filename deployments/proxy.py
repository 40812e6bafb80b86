"""What Serve's HTTP proxies run in front of every application."""

from __future__ import annotations

import os

from ray.serve import context
from starlette.middleware import Middleware

from deployments.api.error_formats import error_format_of
from deployments.api.http.early_body import EarlyBodyMiddleware
from deployments.api.http.lost_answer import LostAnswerMiddleware

ROUTERS_VARIABLE = "STOWAGE_ROUTERS"


def middlewares() -> list[Middleware]:
    """For RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH, which names it as ``deployments.proxy:middlewares``.

    STOWAGE_ROUTERS has the names of the applications that are built by ``deployments.app:build_router``, with
    commas between them. Without it they work as well, but each request costs more, and what a client gets whose
    router replica dies is Serve's own error.
    """
    routers = frozenset(os.environ.get(ROUTERS_VARIABLE, "").split(","))

    def is_for_router() -> bool:
        return _application() in routers

    return [
        Middleware(LostAnswerMiddleware, is_for_router, error_format_of),
        Middleware(EarlyBodyMiddleware, is_for_router),
    ]


def _application() -> str:
    """The application that the proxy has found for the request under way; empty before that."""
    return context._get_serve_request_context().app_name  # Serve tells it nowhere else
