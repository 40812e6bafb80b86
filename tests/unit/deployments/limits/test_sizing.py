from __future__ import annotations

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from deployments.limits.limit_set import Counter, LimitName, ScopeKind
from deployments.limits.sizing import Balance, Order, size_lease

COUNTER = Counter(ScopeKind.KEY, "k", LimitName.TOKENS_PER_DAY, 0)
AMOUNTS = st.integers(0, 1000)
BALANCES = st.builds(Balance, spent=AMOUNTS, others=AMOUNTS)


def order(*, limit: int = 1000, held: int = 0, free: int = 0, more: int = 0, need: int = 0) -> Order:
    return Order(COUNTER, limit, inf, held, free, more, need)


def test_a_wish_is_granted_up_to_an_even_share() -> None:
    assert size_lease(order(more=100), Balance(), booked=0, num_replicas=4).amount == 100
    assert size_lease(order(more=900), Balance(), booked=0, num_replicas=4).amount == 250


def test_a_request_that_waits_gets_more_than_an_even_share() -> None:
    grant = size_lease(order(more=900, need=600), Balance(spent=300), booked=0, num_replicas=4)
    assert (grant.amount, grant.unmet) == (600, 0)


def test_a_request_that_waits_gets_the_rest_and_knows_what_is_missing() -> None:
    grant = size_lease(order(need=600), Balance(spent=300, others=300), booked=0, num_replicas=4)
    assert (grant.amount, grant.unmet, grant.room) == (400, 200, 0)


def test_who_has_an_even_share_leaves_to_others_what_they_lack() -> None:
    others = Balance(others=200, unmet=150)
    assert size_lease(order(held=500, need=300), others, booked=0, num_replicas=2).amount == 650
    assert size_lease(order(held=499, need=300), others, booked=0, num_replicas=2).amount == 799


def test_what_was_spent_is_not_leased_any_more() -> None:
    grant = size_lease(order(held=500, free=100), Balance(spent=300), booked=300, num_replicas=1)
    assert (grant.amount, grant.room) == (200, 500)


def test_a_limit_that_was_lowered_grants_nothing() -> None:
    grant = size_lease(order(limit=100, held=50, need=10), Balance(spent=200), booked=0, num_replicas=1)
    assert (grant.amount, grant.room, grant.unmet) == (50, 0, 10)


@given(held=AMOUNTS, free=AMOUNTS, more=AMOUNTS, need=AMOUNTS, balance=BALANCES, booked=AMOUNTS)
def test_no_more_is_granted_than_there_is(
    held: int, free: int, more: int, need: int, balance: Balance, booked: int
) -> None:
    asked = order(held=held, free=min(free, held), more=more, need=need)
    kept = max(0, held - booked)
    grant = size_lease(asked, balance, booked, num_replicas=3)
    taken = balance.spent + balance.others + grant.amount
    assert grant.amount >= kept
    assert grant.amount == kept or taken <= asked.limit
    assert grant.room == max(0, asked.limit - taken)
    assert asked.free + grant.amount - kept >= need - grant.unmet
