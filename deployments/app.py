"""The two application builders that ``serve_config.yaml`` names. They run in a Ray task, before any replica.

No ``from __future__ import annotations`` here: Serve reads the class of the argument off the signature.
"""

import logging

import ray
from ray import serve
from ray.serve import Application

from deployments.args import ModelArgs, RouterArgs
from deployments.importing import ensure_imported
from deployments.options import model_options, router_options
from deployments.routing.cards import dump_card, make_card
from models.engines.registry import resolve_engine
from models.errors import ConfigError
from models.memory import check_fits, format_bytes, plan_memory

logger = logging.getLogger("ray.serve")


def build_router(args: RouterArgs) -> Application:
    """The ingress application. One in a cluster, with the only route."""
    from deployments.router import Router  # noqa: PLC0415  keeps Starlette out of the builders of models

    return serve.deployment(**router_options(args))(Router).bind(args)


def build_model(args: ModelArgs) -> Application:
    """The application of one model version: imported if need be, planned, and refused if it cannot fit.

    StoreError, ConfigError or DoesNotFitError become the application's status message.
    """
    from deployments.model import Model  # noqa: PLC0415  as above

    stored = ensure_imported(args)
    plan = plan_memory(stored.manifest, args.limits, resolve_engine(stored.manifest, args.engine))
    available_bytes, where = _largest_node(args)
    check_fits(plan, stored.manifest, args.limits, available_bytes, where)
    logger.info("%s is planned at %s.", args.id, format_bytes(plan.total_bytes))
    card = make_card(stored.manifest, plan)
    return serve.deployment(**model_options(args, plan), user_config=dump_card(card))(Model).bind(args, plan)


def _largest_node(args: ModelArgs) -> tuple[int, str]:
    """Bytes of the largest node that could hold a replica, and its name for messages."""
    if args.node_memory is not None:
        return int(args.node_memory), "a node (node_memory)"
    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    sizes = {node["NodeName"]: node["Resources"].get("memory", 0) for node in nodes if node["Alive"]}
    if not sizes:
        raise ConfigError("no node of the Ray cluster is alive", remedy="start the cluster, or set node_memory")
    largest = max(sizes, key=lambda name: sizes[name])
    return int(sizes[largest]), f"the largest node, {largest},"
