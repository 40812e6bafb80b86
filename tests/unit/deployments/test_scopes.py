"""Whose limits hold for a request."""

from __future__ import annotations

from decimal import Decimal

import pytest

from deployments.identity.caller import ANONYMOUS, Caller
from deployments.limits.amounts import FREE
from deployments.limits.limit_set import Scope, ScopeKind
from deployments.routing.policy import RouterPolicy
from deployments.scopes import Scopes
from deployments.state.api_key import ApiKey, KeyGrant
from deployments.state.keyring import Keyring

TEN = {"requests_per_minute": 10}
POLICY = RouterPolicy.model_validate(
    {
        "models": {"m": {"price": {"input": "0.5"}, "limits": TEN}, "free": {}},
        "tenants": {"acme": {"limits": TEN}, "other": {"weight": 2}},
    }
)
KEYS = Keyring(
    ApiKey(prefix, "0" * 64, KeyGrant.model_validate({"owner": "ann", "limits": limits}), created_at=0)
    for prefix, limits in (("limited", TEN), ("free", {}))
)


@pytest.fixture
def scopes() -> Scopes:
    return Scopes(POLICY, KEYS)


def found(scopes: Scopes, key: str | None, tenant: str, model: str) -> set[Scope]:
    return {each.scope for each in scopes.of(Caller(key, tenant), model)}


def test_key_tenant_and_model_each_have_theirs(scopes: Scopes) -> None:
    assert found(scopes, "limited", "acme", "m") == {
        (ScopeKind.KEY, "limited"),
        (ScopeKind.TENANT, "acme"),
        (ScopeKind.MODEL, "m"),
    }


@pytest.mark.parametrize(("key", "tenant", "model"), [("free", "other", "free"), (None, "nobody", "unknown")])
def test_who_has_none_is_asked_for_none(scopes: Scopes, key: str | None, tenant: str, model: str) -> None:
    assert found(scopes, key, tenant, model) == set()


def test_the_same_scope_is_the_same_object(scopes: Scopes) -> None:
    """What is leased hangs on it."""
    first, second = (scopes.of(Caller("limited", tenant), "m") for tenant in ("acme", "acme"))
    assert [id(each) for each in first] == [id(each) for each in second]


def test_without_keys_there_are_the_limits_of_the_policy() -> None:
    assert {each.scope.kind for each in Scopes(POLICY, None).of(ANONYMOUS, "m")} == {ScopeKind.MODEL}


def test_a_model_without_a_price_is_free(scopes: Scopes) -> None:
    assert scopes.price("m").input == Decimal("0.5")
    assert scopes.price("free") == scopes.price("unknown") == FREE
