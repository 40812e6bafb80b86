"""Applications that compute nothing, so that only the way to them is measured.

No ``from __future__ import annotations`` here: Serve reads the class of the argument off the signature.
"""

import json

import numpy as np
from pydantic import JsonValue
from ray import serve
from ray.serve import Application
from ray.serve.handle import DeploymentHandle
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deployments.app import build_router
from deployments.args import RouterArgs
from deployments.options import QUIET
from deployments.routing.cards import dump_card
from models.types import InferRequest, ModelCard, Task, Tensor, TensorSpec, VersionId

# One small tensor, as a caller of the Open Inference Protocol sends it; both targets get the same bytes.
REQUEST_BODY = json.dumps(
    {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1.0, 2.0, 3.0, 4.0]}]}
)

_MAX_ONGOING_REQUESTS = 1024
_CARD = ModelCard(
    id=VersionId("noop", "1"),
    task=Task.INFER,
    engine="noop",
    created_unix_s=0,
    inputs=(TensorSpec("x", "FP32", (-1, 4)),),
    outputs=(TensorSpec("y", "FP32", (-1, 4)),),
    max_concurrency=_MAX_ONGOING_REQUESTS,
)
_ACTOR_OPTIONS = {"num_cpus": 0.1}


class NoopModel:
    """Answers Stowage's ``infer`` with a constant."""

    def __init__(self) -> None:
        self._answer = (Tensor("y", "FP32", np.zeros((1, 4), np.float32)),)

    def reconfigure(self, user_config: JsonValue) -> None:
        """The card, for the router to read."""

    async def infer(self, request: InferRequest) -> tuple[Tensor, ...]:  # noqa: ARG002
        """The same tensor, whatever is asked."""
        return self._answer


class ChainModel:
    """The second deployment of Ray's own chain."""

    async def answer(self, body: bytes) -> bytes:
        """What it is sent."""
        return body


@serve.ingress()
class ChainIngress:
    """The first deployment of Ray's own chain: the least that passes a request on and its answer back."""

    def __init__(self, model: DeploymentHandle[ChainModel]) -> None:
        self._answer = model.options(method_name="answer")

    def __serve_build_asgi_app__(self) -> Starlette:
        return Starlette(routes=[Route("/infer", self._infer, methods=["POST"])])

    async def _infer(self, request: Request) -> Response:
        body: bytes = await self._answer.remote(await request.body())
        return Response(body, media_type="application/json")


def build_model(_: dict[str, JsonValue]) -> Application:
    """``noop@1``, with a card as deployments/app.py writes it."""
    return stowage_deployment(NoopModel, _CARD).bind()


def build_second_router(args: RouterArgs) -> Application:
    """A router beside the first one, which does not take it for one that shares its models' places."""
    return build_router(args)


def build_chain(_: dict[str, JsonValue]) -> Application:
    """Ray's own two deployments."""
    return deployment(ChainIngress).bind(deployment(ChainModel).bind())


def deployment(target: type) -> serve.Deployment:
    """One that fits a small machine, and whose queues are never full."""
    return serve.deployment(ray_actor_options=_ACTOR_OPTIONS, max_ongoing_requests=_MAX_ONGOING_REQUESTS)(target)


def stowage_deployment(target: type, card: ModelCard) -> serve.Deployment:
    """The same as a model of Stowage's: with a card, and the logging that those have."""
    return deployment(target).options(user_config=dump_card(card), logging_config=QUIET)
