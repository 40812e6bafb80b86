"""The two application builders that ``serve_config.yaml`` names. They run in a Ray task, before any replica.

No ``from __future__ import annotations`` here: Serve reads the class of the argument off the signature.
"""

import logging
import os
from contextlib import closing
from dataclasses import replace

from ray import serve
from ray.serve import Application

from deployments.args import ModelArgs, RouterArgs
from deployments.bundles import choose_bundles
from deployments.exposure import check_exposure, closed_without_keys
from deployments.importing import ensure_imported
from deployments.live import listening, live_application
from deployments.live_nodes import free_nodes, live_nodes, planned_nodes
from deployments.options import model_options, router_options
from deployments.placing import check_places
from deployments.planning import check_model_fits, plan_model
from deployments.routing.bundles import Bundles, with_bundles
from deployments.routing.cards import dump_card, make_card
from deployments.state.location import check_shared, state_url
from deployments.update import check_ranks, check_room, is_replaced
from models.errors import ConfigError
from models.memory.calibration import store_overheads
from models.memory.plan import MemoryPlan, format_bytes

logger = logging.getLogger("ray.serve")


def build_router(args: RouterArgs) -> Application:
    """The ingress application. One in a cluster, with the only route.

    ConfigError where it would be open to other machines without keys or without TLS; StateError where its replicas
    would not share what they have to.
    """
    from deployments.router import Router  # noqa: PLC0415  keeps Starlette out of the builders of models

    where = listening()
    able = [node for node in live_nodes() if node.num_cpus >= args.num_cpus]
    check_shared(state_url(args.state, os.environ), args.num_replicas, len(able))
    check_exposure(where, args, lambda: _has_keys(args.state))
    return serve.deployment(**router_options(args))(Router).bind(closed_without_keys(where, args))


def build_model(args: ModelArgs) -> Application:
    """The application of one model version: imported if need be, planned, and refused if it cannot fit.

    StoreError, ConfigError, DoesNotFitError or ConflictError become the application's status message.
    """
    from deployments.model import Model  # noqa: PLC0415  as above

    stored = ensure_imported(args)
    nodes = planned_nodes()
    overheads = store_overheads(args.store)
    plan = plan_model(args, stored.manifest, nodes, overheads)
    check_model_fits(args, stored.manifest, plan, nodes, overheads)
    check_places(args, plan, live_nodes())
    _check_compute_share(args, plan)
    logger.info("%s is planned at %s of %s.", args.id, format_bytes(plan.budget_bytes), plan.device.name)
    bundles = choose_bundles(args, plan, plan.group, nodes) if plan.group else None
    _check_update(args, plan, bundles)
    card = dump_card(replace(make_card(stored.manifest, plan), args_digest=args.digest))
    user_config = with_bundles(card, bundles) if bundles else card
    return serve.deployment(**model_options(args, plan, nodes), user_config=user_config)(Model).bind(args, plan)


def _check_update(args: ModelArgs, plan: MemoryPlan, bundles: Bundles | None) -> None:
    """ConflictError or ConfigError where what runs of the application cannot be followed by this."""
    live = live_application(str(args.id))
    if live is not None and is_replaced(args, live):
        check_ranks(args, plan, live)
        check_room(args, plan, bundles, free_nodes())


def _has_keys(state: str) -> bool:
    from deployments.state.database import Database  # noqa: PLC0415  only the router needs what it imports
    from deployments.state.keys import Keys  # noqa: PLC0415

    with closing(Database.open(state_url(state, os.environ))) as database:
        return bool(Keys(database).list())


def _check_compute_share(args: ModelArgs, plan: MemoryPlan) -> None:
    if args.compute_share is not None and plan.device.kind == "cpu":
        raise ConfigError(
            f"{args.id} has compute_share {args.compute_share:g}, but is planned for a CPU",
            remedy="leave compute_share out, or write device: gpu",
        )
