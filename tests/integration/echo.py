"""An application that is none of Stowage's, behind the same proxy.

No ``from __future__ import annotations`` here, as in planted.py.
"""

from pydantic import JsonValue
from ray import serve
from ray.serve import Application
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


@serve.ingress()
class Echo:
    """Answers with the body that it receives."""

    def __serve_build_asgi_app__(self) -> Starlette:
        return Starlette(routes=[Route("/echo", self._answer, methods=["POST"])])

    async def _answer(self, request: Request) -> Response:
        return Response(await request.body())


def build_echo(_: dict[str, JsonValue]) -> Application:
    return serve.deployment(ray_actor_options={"num_cpus": 0.1})(Echo).bind()
