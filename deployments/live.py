"""What is live, asked of Serve's controller. Blocking: call it from a worker thread."""

from __future__ import annotations

import time
from collections.abc import Mapping

import ray
from ray.serve.context import _get_global_client
from ray.serve.exceptions import RayServeException

from deployments.routing.serve_details import ServeDetails
from deployments.routing.states import ModelState, read_states


def fetch_states() -> tuple[ModelState, ...]:
    """The states of all deployed model versions, as the controller sees them now.

    ``serve.status()`` is made from the same details, but leaves out what a model needs and where its replicas are.
    """
    client = _get_global_client()
    if client is None:
        raise RayServeException("Serve is not running")
    details = ServeDetails.model_validate(client.get_serve_details())
    available: Mapping[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
    return read_states(details.views(), available, time.time())
