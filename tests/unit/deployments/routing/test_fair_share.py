"""Start-time fair queueing: turns in proportion to weights, in order within a tenant, and nobody forgotten."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.identity.caller import Priority
from deployments.routing.fair_share import FairShare, Ticket

TENANTS = st.sampled_from("abcd")
WEIGHTS = st.dictionaries(TENANTS, st.integers(1, 8).map(float), min_size=2)


def ticket(tenant: str, weight: float = 1.0) -> Ticket:
    return Ticket(Priority.INTERACTIVE, tenant, weight)


def fill(share: FairShare[Ticket], counts: dict[str, int], weights: dict[str, float] | None = None) -> None:
    for tenant, count in counts.items():
        for _ in range(count):
            share.push(ticket(tenant, (weights or {}).get(tenant, 1.0)))


def turns(share: FairShare[Ticket], count: int) -> str:
    """The tenants of the next ones."""
    return "".join(taken.tenant for _ in range(count) if (taken := share.pop()) is not None)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_a_weight_must_be_positive_and_finite(weight: float) -> None:
    with pytest.raises(ValueError, match=f"weight {weight} of tenant 'a'"):
        ticket("a", weight)


def test_equal_tenants_take_turns_however_many_wait_of_each() -> None:
    share: FairShare[Ticket] = FairShare()
    fill(share, {"a": 6, "b": 2})
    assert turns(share, 9) == "ababaaaa"
    assert share.pop() is None


def test_a_tenant_that_comes_later_gains_and_loses_nothing_by_it() -> None:
    share: FairShare[Ticket] = FairShare()
    fill(share, {"a": 8})
    assert turns(share, 3) == "aaa"
    fill(share, {"b": 3})
    assert sorted(turns(share, 6)) == list("aaabbb")


def test_leaving_and_coming_back_gains_no_turn() -> None:
    share: FairShare[Ticket] = FairShare()
    fill(share, {"a": 10, "b": 1}, weights := {"a": 4.0, "b": 1.0})
    served = ""
    for _ in range(10):
        served += turns(share, 1)
        if not share.num_of("b"):
            fill(share, {"b": 1}, weights)
    assert served.count("b") == 2


def test_when_nobody_waits_the_past_is_forgotten() -> None:
    share: FairShare[Ticket] = FairShare()
    fill(share, {"a": 5, "b": 1})
    turns(share, 6)
    fill(share, {"b": 2, "a": 2})
    assert turns(share, 4) == "baba"


@given(st.lists(TENANTS, max_size=30))
def test_within_a_tenant_the_first_goes_first_and_all_go_once(tenants: list[str]) -> None:
    share: FairShare[Ticket] = FairShare()
    tickets = [ticket(tenant) for tenant in tenants]
    for each in tickets:
        share.push(each)
    assert len(share) == len(tickets)
    served = [share.pop() for _ in tickets]
    for tenant in set(tenants):
        assert [t for t in served if t and t.tenant == tenant] == [t for t in tickets if t.tenant == tenant]
    assert share.pop() is None
    assert not share


@given(WEIGHTS, st.integers(20, 60))
def test_under_saturation_turns_follow_the_weights(weights: dict[str, float], num_turns: int) -> None:
    """The bound of start-time fair queueing: over any backlog, no two tenants' normalised service differs by more
    than one request of each."""
    share: FairShare[Ticket] = FairShare()
    fill(share, dict.fromkeys(weights, num_turns), weights)
    served = Counter(turns(share, num_turns))
    for one, its_weight in weights.items():
        for other, other_weight in weights.items():
            gap = served[one] / its_weight - served[other] / other_weight
            assert gap <= 1 / its_weight + 1 / other_weight + 1e-9


@given(WEIGHTS)
def test_no_tenant_starves(weights: dict[str, float]) -> None:
    share: FairShare[Ticket] = FairShare()
    fill(share, dict.fromkeys(weights, 100), weights)
    round_of_all = sum(weights.values()) / min(weights.values())
    assert set(turns(share, int(round_of_all) + len(weights))) == set(weights)


@given(st.lists(st.tuples(TENANTS, st.booleans()), max_size=30))
def test_those_who_leave_cost_their_tenant_nothing(arrivals: list[tuple[str, bool]]) -> None:
    share: FairShare[Ticket] = FairShare()
    without: FairShare[Ticket] = FairShare()
    leaving = []
    for tenant, leaves in arrivals:
        share.push(each := ticket(tenant))
        if leaves:
            leaving.append(each)
        else:
            without.push(ticket(tenant))
    for each in leaving:
        share.discard(each)
        share.discard(each)
    assert len(share) == len(without)
    assert Counter(turns(share, len(arrivals))) == Counter(turns(without, len(arrivals)))


@given(WEIGHTS, st.lists(TENANTS, max_size=30), st.integers(0, 20), TENANTS)
def test_how_many_go_first_is_known_beforehand(
    weights: dict[str, float], tenants: list[str], num_served: int, tenant: str
) -> None:
    share: FairShare[Ticket] = FairShare()
    for each in tenants:
        share.push(ticket(each, weights.get(each, 1.0)))
    turns(share, num_served)
    newcomer = ticket(tenant, weights.get(tenant, 1.0))
    said = share.ahead_of(newcomer)
    share.push(newcomer)
    went_first = 0
    while share.pop() is not newcomer:
        went_first += 1
    assert went_first <= said <= went_first + len(set(tenants))


def test_the_newest_is_the_last_that_came() -> None:
    share: FairShare[Ticket] = FairShare()
    assert share.newest() is None
    tickets = [ticket(tenant) for tenant in "abab"]
    for each in tickets:
        share.push(each)
    assert (share.newest(), share.newest("a"), share.newest("c")) == (tickets[3], tickets[2], None)
    share.discard(tickets[3])
    assert share.newest() is tickets[2]
