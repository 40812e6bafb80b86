"""The policy in force, and what has been learnt of the versions while it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from random import Random

from deployments.dataplane.call import Call
from deployments.routing.breaker import BreakerState
from deployments.routing.breakers import Breakers
from deployments.routing.choice import EVERYTHING, Chooser, Rights, look_up
from deployments.routing.live_versions import LiveVersions
from deployments.routing.policy import RouterPolicy
from deployments.routing.retry import Retrier
from deployments.routing.states import ModelState
from deployments.routing.stickiness import sticky_value
from deployments.routing.table import Destination, FallbackChain, RoutingTable, Weights
from models.types import VersionId


class Traffic:
    """Where requests go. ``clock`` gives seconds and never goes back.

    ``rollouts`` are the weights of the versions that are being rolled out, by the model's name; they take the
    place of a route's own.
    """

    def __init__(self, clock: Callable[[], float], rng: Random) -> None:
        self._breakers = Breakers(clock)
        self._chooser = Chooser(rng, self._breakers.blocked_s)
        self._retrier = Retrier(clock, rng)
        self.rollouts: Mapping[str, Weights] = {}
        self.set_policy(RouterPolicy())

    def set_policy(self, policy: RouterPolicy) -> None:
        """Requests that come from now on follow ``policy``."""
        self.policy = policy
        self._table = RoutingTable(policy)

    def chain(self, model: str) -> tuple[Destination, FallbackChain]:
        """Where ``model`` leads, and where it leads from there when it fails. InvalidRequestError."""
        first = self._table.resolve(model)
        return first, FallbackChain(self._table, first)

    def look_up(self, model: str, live: LiveVersions, rights: Rights = EVERYTHING) -> ModelState:
        """The version that speaks for ``model`` when there is no request to send.

        ModelNotFoundError, PermissionDeniedError.
        """
        destination = self._table.resolve(model)
        return look_up(destination, live, self.rollouts.get(destination.name), rights)

    def choose(
        self, destination: Destination, live: LiveVersions, call: Call, rights: Rights = EVERYTHING
    ) -> ModelState:
        """The version for one call. ModelNotFoundError, ModelUnavailableError, PermissionDeniedError."""
        sticky = sticky_value(destination.route.sticky, call.caller.key, call.user, call.attributes)
        rollout = self.rollouts.get(destination.name)
        return self._chooser.choose(destination, live, call.attributes, sticky, rollout, rights)

    def rollout_of(self, destination: Destination, call: Call) -> str | None:
        """The name whose rollout decides by chance which version gets the call; None where none does."""
        divided = destination.name in self.rollouts and destination.matched(call.attributes) is None
        return destination.name if divided else None

    def shadows(self, destination: Destination, live: LiveVersions, chosen: VersionId) -> list[ModelState]:
        """The versions that get a copy of a call that goes to ``chosen``."""
        return self._chooser.shadows(destination, live, chosen) if destination.shadows else []

    def attempt(self, destination: Destination, version: VersionId) -> AbstractContextManager[None]:
        """To be held during a call, up to the first of its answer: the breaker of the version."""
        return self._breakers.attempt(version, destination.route.breaker)

    def count_request(self, destination: Destination) -> None:
        """Once for each request that is sent anywhere: retries are a share of these."""
        self._retrier.count_request(destination.name)

    def retry_delay_s(self, destination: Destination, error: Exception, attempts_made: int) -> float | None:
        """Seconds to wait before the next attempt, None: ``error`` stands."""
        return self._retrier.delay_s(destination.name, destination.route.retries, error, attempts_made)

    @property
    def retry_budgets(self) -> dict[str, float]:
        """How much of each route's budget of retries is used, from 0 to 1."""
        return self._retrier.used(lambda route: self._table.resolve(route).route.retries.budget)

    @property
    def retries_refused(self) -> Mapping[str, int]:
        """By route, how many retries its budget has not allowed so far."""
        return self._retrier.refused

    @property
    def breakers(self) -> dict[VersionId, BreakerState]:
        """The state of each version's breaker, of those that were called."""
        return self._breakers.states()

    @property
    def breaker_openings(self) -> Mapping[VersionId, int]:
        """How often each version's breakers have opened so far."""
        return self._breakers.openings

    def follow(self, live: LiveVersions) -> None:
        """Forget what was learnt of versions that are gone."""
        self._breakers.follow(live)

    def weight_of(self, tenant: str) -> float:
        """The tenant's share, beside the other tenants', of a version that is saturated."""
        terms = self.policy.tenants.get(tenant)
        return terms.weight if terms else 1.0
