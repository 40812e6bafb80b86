"""What is live, asked of Serve's controller. Blocking: call it from a worker thread."""

from __future__ import annotations

import time

from ray.serve._private.client import ServeControllerClient
from ray.serve.context import _get_global_client
from ray.serve.exceptions import RayServeException

from deployments.exposure import Listening
from deployments.live_nodes import free_nodes
from deployments.routing.serve_details import ServeDetails
from deployments.routing.states import Picture, read_picture


def listening() -> Listening:
    """Where the cluster's HTTP proxies listen."""
    http = serve_client().http_config
    return Listening(http.host, is_encrypted=bool(http.ssl_keyfile and http.ssl_certfile))


def fetch_picture() -> Picture:
    """What is deployed, as the controller sees it now.

    ``serve.status()`` is made from the same details, but leaves out what a model needs and where its replicas are.
    """
    details = ServeDetails.model_validate(serve_client().get_serve_details())
    views = details.views()
    nodes = free_nodes() if any(view.waits_for_a_node for view in views) else ()
    return read_picture(views, nodes, time.time())


def serve_client() -> ServeControllerClient:
    """Serve's own, in the process of a replica or of a task. RayServeException where Serve does not run."""
    client = _get_global_client()
    if client is None:
        raise RayServeException("Serve is not running")
    return client
