"""What is live, asked of Serve's controller. Blocking: call it from a worker thread."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import replace

import ray
from ray.serve._private.client import ServeControllerClient
from ray.serve.context import _get_global_client
from ray.serve.exceptions import RayServeException

from deployments.exposure import Listening
from deployments.group.record import GroupRecords
from deployments.live_nodes import free_nodes
from deployments.node_supply import node_supply
from deployments.routing.serve_details import Running, ServeDetails
from deployments.routing.states import ApplicationView, Picture, read_picture


def listening() -> Listening:
    """Where the cluster's HTTP proxies listen."""
    http = serve_client().http_config
    return Listening(http.host, is_encrypted=bool(http.ssl_keyfile and http.ssl_certfile))


def fetch_picture() -> Picture:
    """What is deployed, as the controller sees it now.

    ``serve.status()`` is made from the same details, but leaves out what a model needs and where its replicas are.
    """
    views = [_with_cause(view) for view in serve_details().views()]
    if not any(view.waits_for_a_node for view in views):
        return read_picture(views, (), time.time())
    return read_picture(views, free_nodes(), time.time(), node_supply())


def live_application(name: str) -> ApplicationView | None:
    """The application, if it is there. RayServeException where Serve does not run."""
    return next((view for view in serve_details().views() if view.name == name), None)


def serve_details() -> ServeDetails:
    """Serve's account of its applications, and what runs of those that it tells of without deployments."""
    client = serve_client()
    details = ServeDetails.model_validate(client.get_serve_details())
    unbuilt = details.without_deployments
    return details.with_running(_running(client, unbuilt)) if unbuilt else details


def running_deployment(application: str) -> str | None:
    """The deployment of which replicas run, or are to, whatever has become of the application since."""
    deployments = ray.get(serve_client()._controller.list_deployment_ids.remote())
    return next((each.name for each in deployments if each.app_name == application), None)


def _running(client: ServeControllerClient, applications: Collection[str]) -> dict[str, Running]:
    """Those of ``applications`` of which replicas run."""
    controller = client._controller
    replicas = ray.get(controller._all_running_replicas.remote())
    infos = ray.get(controller.list_deployments_internal.remote())
    return {
        deployment.app_name: Running(
            infos[deployment][0].deployment_config.user_config,
            tuple(each.replica_id.unique_id for each in running),
        )
        for deployment, running in replicas.items()
        if deployment.app_name in applications and deployment in infos and running
    }


def _with_cause(view: ApplicationView) -> ApplicationView:
    """With what the last group of a divided model has failed of, while fewer run than should."""
    if view.card is None or view.card.num_ranks == 1 or view.num_running >= view.target_num_replicas > 0:
        return view
    failure = GroupRecords(view.name).last_failure()
    return replace(view, cause=failure.cause) if failure else view


def serve_client() -> ServeControllerClient:
    """Serve's own, in the process of a replica or of a task. RayServeException where Serve does not run."""
    client = _get_global_client()
    if client is None:
        raise RayServeException("Serve is not running")
    return client
