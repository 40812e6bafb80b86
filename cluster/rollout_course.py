"""What a rollout would do, and whether it can: from which version to which, both up, both within the budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cluster.config.serve_config import ServeConfig
from cluster.planning.planner import FindVersion, plan_cluster
from cluster.terminal.options import ReplicaCount
from deployments.routing.live_versions import LiveVersions
from deployments.routing.policy import Route, RouterPolicy, target_id
from deployments.routing.states import ModelState
from models.errors import (
    ConfigError,
    DoesNotFitError,
    InvalidRequestError,
    ModelNotFoundError,
    ModelUnavailableError,
)
from models.hardware import Node
from models.types import VersionId


class Course(NamedTuple):
    """From ``old`` to ``new``, of the requests to the public name ``route``."""

    route: str
    old: VersionId
    new: VersionId


def choose_course(
    policy: RouterPolicy, model: str, to: str, pinned: dict[str, VersionId], live: LiveVersions
) -> Course:
    """``model`` and ``to`` as typed: a name or alias, and a version or ``name@version``.

    ``pinned``: where earlier rollouts have left a name. InvalidRequestError for what makes no rollout,
    ModelNotFoundError and ModelUnavailableError for a version that is not up.
    """
    if "@" in model:
        raise InvalidRequestError(f"{model!r} is one version already", remedy="give the name that callers use")
    route = policy.unalias(model)
    new = _named(to, route)
    old = pinned.get(route) or _leads_to(route, policy.routes.get(route, Route()), live)
    if new == old:
        raise InvalidRequestError(
            f"{route!r} leads to {new} already",
            remedy=f"pin the version that is to be replaced, as routes: {{{route}: {{version: ...}}}}",
        )
    for version in (old, new):
        check_up(version, live)
    return Course(route, old, new)


def check_up(version: VersionId, live: LiveVersions) -> None:
    """ModelNotFoundError or ModelUnavailableError for a version that cannot take requests; one that sleeps can."""
    state = live.get(version)
    if state is None:
        raise ModelNotFoundError(
            f"{version} is not deployed", remedy="write it into the configuration and deploy that first"
        )
    if not state.ready:
        raise ModelUnavailableError(f"{version} is not up but {state.status}: {state.reason}")


def check_side_by_side(
    config: ServeConfig, course: Course, nodes: Sequence[Node], find: FindVersion, at: ReplicaCount
) -> None:
    """DoesNotFitError, in the planner's words, when the configuration with both versions does not fit ``nodes``.

    ConfigError when it has not both.
    """
    written = {args.id for args in config.model_args}
    for version in (course.old, course.new):
        if version not in written:
            raise ConfigError(
                f"the configuration has no {version}",
                remedy="write it there, so that both are planned side by side",
            )
    planned = plan_cluster(config, find, nodes, at=at)
    if planned.unfit:
        beside = f"{course.new} does not fit beside {course.old}"
        raise DoesNotFitError("\n".join([f"{beside}, or something else has no place:", *planned.unfit]))


def _named(to: str, route: str) -> VersionId:
    try:
        return target_id(to, route)
    except ValueError as error:
        raise InvalidRequestError(str(error)) from error


def _leads_to(name: str, route: Route, live: LiveVersions) -> VersionId:
    weights = {version: weight for version, weight in route.weights(name).items() if weight > 0}
    if len(weights) > 1:
        raise InvalidRequestError(
            f"the route {name!r} divides its requests already, between {', '.join(map(str, weights))}",
            remedy="leave it one version, and let the rollout divide them",
        )
    return next(iter(weights), None) or _newest(name, live).id


def _newest(name: str, live: LiveVersions) -> ModelState:
    newest = next((state for state in live.named(name) if state.ready), None)
    if newest is None:
        raise ModelNotFoundError(f"no version of {name!r} is up", remedy="`stowage status` shows what is")
    return newest
