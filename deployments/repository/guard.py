"""Who may do what to which version, and what may not simply be done. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from deployments.identity.caller import Caller, Role
from deployments.repository.orders import Deployed
from deployments.routing.choice import not_deployed
from deployments.routing.live_versions import LiveVersions
from deployments.routing.policy import Route, RouterPolicy, target_id
from deployments.routing.states import ModelState
from models.errors import ConflictError, InvalidRequestError, PermissionDeniedError
from models.types import VersionId

_OPERATORS = frozenset({Role.OPERATOR, Role.ADMIN})


def check_operator(caller: Caller) -> None:
    """PermissionDeniedError unless the caller may change what runs."""
    if not caller.roles & _OPERATORS:
        caller.require(Role.OPERATOR)


def check_version(caller: Caller, version: VersionId) -> None:
    """PermissionDeniedError when the caller's key is not for this model."""
    if not caller.may_use((version.name, str(version))):
        raise PermissionDeniedError(f"this API key is not for model {str(version)!r}")


def find(model: str, live: LiveVersions, caller: Caller) -> ModelState:
    """The version of ``name@version``, or the only one that is deployed of a name.

    InvalidRequestError for a name of several, ModelNotFoundError for what is not there, PermissionDeniedError.
    """
    there = _named(model, live)
    for state in there:
        check_version(caller, state.id)
    if not there:
        raise not_deployed(model, {}, live, caller)
    if len(there) > 1:
        versions = ", ".join(str(state.id) for state in there)
        raise InvalidRequestError(
            f"{model!r} has several versions: {versions}", remedy="name one, as name@version", param="model"
        )
    return there[0]


def check_same(version: VersionId, deployed: Deployed, wanted: Mapping[str, object]) -> None:
    """ConflictError when the version runs with other args than the ``wanted`` ones."""
    different = [name for name, value in wanted.items() if deployed.args.get(name) != value]
    if different:
        raise ConflictError(
            f"{version} is deployed with another {', '.join(different)}",
            remedy="change min_replicas and max_replicas in place, or unload it first",
        )


def check_unneeded(
    version: VersionId, deployed: Deployed, live: LiveVersions, policy: RouterPolicy, rollouts: Iterable[VersionId]
) -> None:
    """ConflictError for a version that something leads to, or the last one of its name that the file has."""
    if version in set(rollouts):
        raise _needed(f"a rollout leads to {version}")
    for name, route in policy.routes.items():
        if version in set(_targets(name, route)):
            raise _needed(f"the route {name!r} leads to {version}")
    for alias, model in policy.aliases.items():
        if model == str(version):
            raise _needed(f"the alias {alias!r} leads to {version}")
    if deployed.is_of_file and [state.id for state in live.named(version.name)] == [version]:
        raise _needed(f"{version} is the only version of {version.name} that is deployed")


def _named(model: str, live: LiveVersions) -> Sequence[ModelState]:
    if "@" not in model:
        return live.named(model)
    try:
        state = live.get(VersionId.parse(model))
    except ValueError as error:
        raise InvalidRequestError(str(error), param="model") from error
    return [state] if state else []


def _targets(name: str, route: Route) -> Iterator[VersionId]:
    for split in route.splits():
        yield from (version for version, weight in split.weights(name).items() if weight)
    for shadow in route.shadow:
        yield target_id(shadow.target, name)
    for fallbacks in route.fallbacks.values():
        yield from (VersionId.parse(fallback) for fallback in fallbacks if "@" in fallback)


def _needed(why: str) -> ConflictError:
    return ConflictError(why, remedy="lead it elsewhere first, or unload with force")
