"""The application builder of pools. It runs in a Ray task, before any replica.

No ``from __future__ import annotations`` here: Serve reads the class of the argument off the signature.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace

from ray import serve
from ray.serve import Application
from ray.serve.config import RequestRouterConfig

from deployments.importing import ensure_imported
from deployments.live_nodes import planned_nodes
from deployments.options import pool_options
from deployments.planning import plan_model
from deployments.pool.warm_up import plan_warm_up
from deployments.pool_args import PoolArgs
from deployments.routing.cards import dump_pool, make_card
from models.errors import DoesNotFitError
from models.manifest import Manifest
from models.memory.calibration import store_overheads
from models.memory.plan import format_bytes
from models.memory.pool_plan import PoolPlan, plan_pool
from models.types import ModelCard

logger = logging.getLogger("ray.serve")

_REQUEST_ROUTER = "deployments.pool.request_router:PoolRequestRouter"


def build_pool(args: PoolArgs) -> Application:
    """The application of a pool: its models imported if need be, planned, and refused if one can never fit.

    StoreError, ConfigError or DoesNotFitError become the application's status message.
    """
    from deployments.pool_replica import Pool  # noqa: PLC0415  only replicas need what it imports

    models = args.model_args()
    manifests = [ensure_imported(model).manifest for model in models]
    nodes = planned_nodes()
    overheads = store_overheads(args.store)
    known = zip(models, manifests, strict=True)
    plans = [plan_model(model, manifest, nodes, overheads) for model, manifest in known]
    plan = plan_pool(manifests, plans, args.pinned, int(args.memory))
    _check_node(args, max(node.memory_bytes for node in nodes))
    logger.info("Pool %s is planned at %s, %d models.", args.name, format_bytes(plan.budget_bytes), len(models))
    deployment = serve.deployment(
        **pool_options(args),
        request_router_config=_request_router(args),
        user_config=dump_pool(_cards(manifests, plan), plan.pinned),
    )
    return deployment(Pool).bind(args, plan, plan_warm_up(manifests, plans))


def _request_router(args: PoolArgs) -> RequestRouterConfig:
    return RequestRouterConfig(
        request_router_class=_REQUEST_ROUTER,  # type: ignore[arg-type]
        request_router_kwargs={"spread_above": args.spread_above},
    )


def _cards(manifests: Sequence[Manifest], plan: PoolPlan) -> list[ModelCard]:
    """What a model is planned at in a pool leaves out the process."""
    cards = [make_card(manifest, each) for manifest, each in zip(manifests, plan.models, strict=True)]
    return [replace(card, planned_bytes=plan.sizes[card.id]) for card in cards]


def _check_node(args: PoolArgs, largest_bytes: int) -> None:
    if args.memory > largest_bytes:
        raise DoesNotFitError(
            f"a replica of pool {args.name} is to have {format_bytes(int(args.memory))}, but the largest node "
            f"offers {format_bytes(largest_bytes)}",
            remedy=f"set memory to {format_bytes(largest_bytes)} or less, or use a larger node",
        )
