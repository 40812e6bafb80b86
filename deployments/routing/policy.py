"""Which version answers a request. Pure: the policy and the states come in, a version goes out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from pydantic import Field

from deployments.routing.states import ModelState
from models.errors import InvalidRequestError, ModelNotFoundError
from models.manifest import Frozen, Name, Version
from models.types import VersionId

_RUNS = re.compile(r"(\d+)")


class Route(Frozen):
    """Where a public model name leads."""

    version: Version


class RouterPolicy(Frozen):
    """The Router's ``user_config``, changed in place. A name without a route leads to its newest ready version."""

    routes: dict[Name, Route] = Field(default_factory=dict)


def choose_version(model: str, policy: RouterPolicy, states: Sequence[ModelState]) -> ModelState:
    """The state of the version that ``model`` (``name`` or ``name@version``) leads to.

    A bare name follows its route, or else leads to the newest ready version, or else to the newest.
    ModelNotFoundError names what is there.
    """
    if "@" in model:
        return _exact(_parse(model), model, states)
    route = policy.routes.get(model)
    if route is not None:
        return _exact(VersionId(model, route.version), model, states)
    candidates = [state for state in states if state.id.name == model]
    if not candidates:
        raise _not_found(model, states)
    return max(candidates, key=lambda state: (state.ready, version_order(state.id.version)))


def version_order(version: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key that orders numbers inside versions by value: 2 before 10, v1.9 before v1.10."""
    return tuple((1, int(run), "") if run.isdigit() else (0, 0, run) for run in _RUNS.split(version))


def _exact(wanted: VersionId, model: str, states: Sequence[ModelState]) -> ModelState:
    for state in states:
        if state.id == wanted:
            return state
    raise _not_found(model, states)


def _parse(model: str) -> VersionId:
    try:
        return VersionId.parse(model)
    except ValueError as error:
        raise InvalidRequestError(str(error), param="model") from error


def _not_found(model: str, states: Iterable[ModelState]) -> ModelNotFoundError:
    names = sorted(str(state.id) for state in states)
    there = ", ".join(names) if names else "none"
    return ModelNotFoundError(f"model {model!r} is not deployed", remedy=f"deployed models: {there}")
