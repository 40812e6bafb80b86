"""What is live, asked of Serve's controller. Blocking: call it from a worker thread."""

from __future__ import annotations

import time
from collections.abc import Mapping

import ray
from pydantic import ValidationError
from ray.serve.context import _get_global_client
from ray.serve.exceptions import RayServeException
from ray.serve.schema import ApplicationDetails, DeploymentDetails, ReplicaDetails, ServeInstanceDetails

from deployments.cards import load_card
from deployments.routing.states import ApplicationView, ModelState, ReplicaView, read_states
from models.types import ModelCard


def fetch_states() -> tuple[ModelState, ...]:
    """The states of all deployed model versions, as the controller sees them now.

    ``serve.status()`` is made from the same details, but leaves out what a model needs and where its replicas are.
    """
    client = _get_global_client()
    if client is None:
        raise RayServeException("Serve is not running")
    details = ServeInstanceDetails(**client.get_serve_details())
    views = [_view(application) for application in details.applications.values()]
    available: Mapping[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
    return read_states(views, available, time.time())


def _view(application: ApplicationDetails) -> ApplicationView:
    deployment = next(iter(application.deployments.values()), None)
    message = application.message
    if deployment is None:
        return ApplicationView(application.name, application.status.value, message)
    return ApplicationView(
        name=application.name,
        status=application.status.value,
        message=message or deployment.message,
        target_num_replicas=deployment.target_num_replicas,
        replicas=tuple(_replica(replica) for replica in deployment.replicas),
        required_resources=deployment.required_resources,
        card=_card(deployment),
    )


def _replica(replica: ReplicaDetails) -> ReplicaView:
    return ReplicaView(replica.state.value, replica.node_id is not None, replica.start_time_s)


def _card(deployment: DeploymentDetails) -> ModelCard | None:
    """Absent when someone else's application has a name like ours."""
    try:
        return load_card(deployment.deployment_config.user_config)
    except ValidationError:
        return None
