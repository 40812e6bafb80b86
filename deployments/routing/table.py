"""The policy made ready for requests: names read, versions parsed, once for each change of the policy. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from deployments.routing.failures import Failure
from deployments.routing.policy import Match, Route, RouterPolicy, target_id
from models.errors import InvalidRequestError
from models.types import VersionId

Weights = Mapping[VersionId, float]

_DEFAULTS = Route()


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a name that a caller gave leads.

    ``name`` is what the caller's stands for, aliases followed; a route, a model or ``name@version``. ``weights``
    are above 0; empty: the newest version of the model ``name``. ``exact``: the caller named the version, so
    that nothing may take its place. ``shadows``: the share of requests to copy to each version.
    """

    name: str
    route: Route = _DEFAULTS
    weights: Weights = field(default_factory=dict)
    exact: bool = False
    matches: tuple[tuple[Match, Weights], ...] = ()
    shadows: Weights = field(default_factory=dict)

    def weights_for(self, attributes: Mapping[str, str], rollout: Weights | None) -> Weights:
        """Those of the first match that accepts the request's headers, or of the rollout, or its own."""
        matched = self.matched(attributes)
        if matched is not None:
            return matched
        if rollout is None or self.exact:
            return self.weights
        return _above_zero(rollout)

    def matched(self, attributes: Mapping[str, str]) -> Weights | None:
        """Those of the first match that accepts the request's headers."""
        return next((weights for match, weights in self.matches if match.accepts(attributes)), None)


class RoutingTable:
    """Answers where a name leads."""

    def __init__(self, policy: RouterPolicy) -> None:
        routes = {name: _compile(name, route) for name, route in policy.routes.items()}
        aliased = {alias: policy.unalias(alias) for alias in policy.aliases}
        self._known = {**routes, **{alias: routes.get(name) or _plain(name) for alias, name in aliased.items()}}

    def resolve(self, model: str) -> Destination:
        """``model`` as a caller writes it: a route, alias or model, or ``name@version``, which passes routes by.

        InvalidRequestError for a malformed ``name@version``. Whether the model is there is not asked.
        """
        known = self._known.get(model)
        if known is not None:
            return known
        try:
            return _plain(model)
        except ValueError as error:
            raise InvalidRequestError(str(error), param="model") from error


class FallbackChain:
    """What one request tries, beginning with ``first``: each name at most once, so it ends.

    The fallbacks of what was tried first come first.
    """

    def __init__(self, table: RoutingTable, first: Destination) -> None:
        self._table = table
        self._tried = first
        self._seen = {first.name}
        self._waiting: list[Destination] = []

    def next(self, failure: Failure | None) -> Destination | None:
        """What to try now that the last one ended so; None: nothing is left, and its error stands.

        A failure that is None would happen anywhere.
        """
        if failure is None:
            return None
        for fallback in self._tried.route.fallbacks.get(failure, ()):
            destination = self._table.resolve(fallback)
            if destination.name not in self._seen:
                self._seen.add(destination.name)
                self._waiting.append(destination)
        if not self._waiting:
            return None
        self._tried = self._waiting.pop(0)
        return self._tried


def _plain(model: str) -> Destination:
    if "@" not in model:
        return Destination(model)
    version = VersionId.parse(model)
    return Destination(model, weights={version: 1.0}, exact=True)


def _compile(name: str, route: Route) -> Destination:
    return Destination(
        name=name,
        route=route,
        weights=_above_zero(route.weights(name)),
        matches=tuple((match, _above_zero(match.weights(name))) for match in route.match),
        shadows={target_id(shadow.target, name): shadow.share for shadow in route.shadow},
    )


def _above_zero(weights: Weights) -> Weights:
    return {version: weight for version, weight in weights.items() if weight > 0}
