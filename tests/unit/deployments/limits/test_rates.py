from __future__ import annotations

from deployments.limits.allowance import Allowance, Reservation
from deployments.limits.amounts import Amounts
from deployments.limits.limit_set import LimitSet, Scope, ScopedLimits, ScopeKind
from deployments.limits.rates import RateStatus
from tests.unit.deployments.limits.state import Book

NOW = 1_800_000_059.5
KEY = ScopedLimits(Scope(ScopeKind.KEY, "k"), LimitSet(requests_per_minute=10, tokens_per_minute=1000))
TENANT = ScopedLimits(Scope(ScopeKind.TENANT, "t"), LimitSet(tokens_per_minute=600, tokens_per_day=100))


def test_the_headers_are_those_of_the_tightest_scope() -> None:
    allowance, scoped = Allowance(), [KEY, TENANT]
    book = Book()
    asked = Amounts(tokens=80)
    allowance.reserve(scoped, asked, NOW)
    book.tick("a", allowance, NOW)
    reservation = allowance.reserve(scoped, asked, NOW)
    assert isinstance(reservation, Reservation)
    assert allowance.status(scoped, NOW).headers() == {
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": "9",
        "x-ratelimit-reset-requests": "0.500s",
        "x-ratelimit-limit-tokens": "600",
        "x-ratelimit-remaining-tokens": "520",
        "x-ratelimit-reset-tokens": "0.500s",
    }
    reservation.settle(Amounts(tokens=30))
    tokens = allowance.status(scoped, NOW).tokens
    assert tokens is not None
    assert tokens.remaining == 570


def test_there_are_no_headers_without_limits_per_minute() -> None:
    daily = ScopedLimits(TENANT.scope, LimitSet(tokens_per_day=1))
    assert Allowance().status([daily], NOW) == RateStatus()
    assert RateStatus().headers() == {}
