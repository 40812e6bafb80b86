"""Whose limits hold for a request, and what it costs. Made anew when the policy or the keys change."""

from __future__ import annotations

from deployments.identity.caller import Caller
from deployments.limits.amounts import FREE, Price
from deployments.limits.limit_set import LimitSet, Scope, ScopedLimits, ScopeKind
from deployments.routing.policy import RouterPolicy
from deployments.state.keyring import Keyring

_NO_LIMITS = LimitSet()


class Scopes:
    """Keeps one object for each scope: what is leased hangs on it."""

    def __init__(self, policy: RouterPolicy, keyring: Keyring | None) -> None:
        self._policy = policy
        self._keyring = keyring
        self._known: dict[Scope, ScopedLimits | None] = {}

    def of(self, caller: Caller, model: str) -> list[ScopedLimits]:
        """The limits of the caller's key and tenant and of the model, as far as they have any."""
        scopes = [Scope(ScopeKind.TENANT, caller.tenant), Scope(ScopeKind.MODEL, model)]
        if caller.key is not None:
            scopes.append(Scope(ScopeKind.KEY, caller.key))
        return [found for scope in scopes if (found := self._find(scope)) is not None]

    def price(self, model: str) -> Price:
        """What the model costs."""
        terms = self._policy.models.get(model)
        return terms.price if terms else FREE

    def _find(self, scope: Scope) -> ScopedLimits | None:
        if scope not in self._known:
            limits = self._limits(scope)
            self._known[scope] = None if limits == _NO_LIMITS else ScopedLimits(scope, limits)
        return self._known[scope]

    def _limits(self, scope: Scope) -> LimitSet:
        if scope.kind is ScopeKind.KEY:
            return self._keyring.limits(scope.name) if self._keyring is not None else _NO_LIMITS
        terms = self._policy.tenants if scope.kind is ScopeKind.TENANT else self._policy.models
        found = terms.get(scope.name)
        return found.limits if found else _NO_LIMITS
