"""Versions of a model that answer with a constant, after a while, and fail as often as they are told to.

No ``from __future__ import annotations`` here: Serve reads the class of the argument off the signature.
"""

import asyncio
from random import Random

import numpy as np
from pydantic import BaseModel, JsonValue
from ray import serve
from ray.serve import Application

from deployments.routing.cards import dump_card
from models.types import InferRequest, ModelCard, Task, Tensor, TensorSpec, VersionId

REQUEST = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 2.0]}]}


class Planted(BaseModel):
    """``failure_share`` of the requests fail, all of them take ``delay_s``."""

    model: str
    version: str
    failure_share: float = 0.0
    delay_s: float = 0.02


class PlantedModel:
    """Fails by a fixed sequence of draws."""

    def __init__(self, args: Planted) -> None:
        self._args = args
        self._rng = Random(7)  # noqa: S311  a test

    def reconfigure(self, user_config: JsonValue) -> None:
        """The card, for the router to read."""

    def stats(self) -> None:
        """What wakes it."""

    async def infer(self, request: InferRequest) -> tuple[Tensor, ...]:
        await asyncio.sleep(self._args.delay_s)
        if self._rng.random() < self._args.failure_share:
            raise RuntimeError("a planted failure")
        return (Tensor("y", "FP32", np.array([[float(len(self._args.version)), 1.0]], np.float32)),)


def build_planted(args: Planted) -> Application:
    card = ModelCard(
        id=VersionId(args.model, args.version),
        task=Task.INFER,
        engine="planted",
        created_unix_s=0,
        inputs=(TensorSpec("x", "FP32", (-1, 2)),),
        outputs=(TensorSpec("y", "FP32", (-1, 2)),),
        max_concurrency=64,
    )
    options = {"num_cpus": 0.1}
    return serve.deployment(ray_actor_options=options, max_ongoing_requests=256, user_config=dump_card(card))(
        PlantedModel
    ).bind(args)
