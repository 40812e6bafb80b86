from __future__ import annotations

from collections import Counter as Sums
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.limits.allowance import Allowance, Reservation
from deployments.limits.amounts import NOTHING, Amounts
from deployments.limits.limit_set import Counter, LimitName, LimitSet, Scope, ScopedLimits, ScopeKind
from deployments.limits.shortage import Shortage
from models.errors import QuotaExceededError, StateUnavailableError
from tests.unit.deployments.limits.state import Book

NOW = 1_800_000_030.0  # half a minute past a minute
KEY = Scope(ScopeKind.KEY, "k")
TENANT = Scope(ScopeKind.TENANT, "t")


def limited(scope: Scope = KEY, **limits: object) -> ScopedLimits:
    return ScopedLimits(scope, LimitSet.model_validate(limits))


def tokens(amount: int) -> Amounts:
    return Amounts(tokens=amount)


def reserve(
    allowance: Allowance,
    book: Book,
    scoped: list[ScopedLimits],
    asked: Amounts,
    now: float = NOW,
    replica: str = "a",
) -> Reservation | Shortage:
    """As a request does: from the leases at hand, or else after one tick."""
    outcome = allowance.reserve(scoped, asked, now)
    if isinstance(outcome, Shortage) and not outcome.is_final:
        book.tick(replica, allowance, now)
        outcome = allowance.reserve(scoped, asked, now)
    return outcome


def admitted(outcome: Reservation | Shortage) -> Reservation:
    assert isinstance(outcome, Reservation)
    return outcome


def refused(outcome: Reservation | Shortage) -> Shortage:
    assert isinstance(outcome, Shortage)
    return outcome


def test_requests_are_let_in_until_the_limit_is_used() -> None:
    allowance, book, scoped = Allowance(), Book(), [limited(tokens_per_day=100)]
    for _ in range(4):
        admitted(reserve(allowance, book, scoped, tokens(25))).settle(tokens(25))
    shortage = refused(reserve(allowance, book, scoped, tokens(25)))
    assert (shortage.counter.limit, shortage.is_final) == (LimitName.TOKENS_PER_DAY, True)


def test_what_was_reserved_and_not_used_comes_back() -> None:
    allowance, book, scoped = Allowance(), Book(), [limited(tokens_per_day=100)]
    for _ in range(10):
        admitted(reserve(allowance, book, scoped, tokens(90))).settle(tokens(10))
    refused(reserve(allowance, book, scoped, tokens(90)))


def test_the_rest_goes_to_one_request_at_a_time() -> None:
    allowance, book, scoped = Allowance(), Book(), [limited(tokens_per_day=100)]
    first = admitted(reserve(allowance, book, scoped, tokens(8192)))
    refused(reserve(allowance, book, scoped, tokens(8192)))
    first.settle(tokens(60))
    second = admitted(reserve(allowance, book, scoped, tokens(8192)))
    second.settle(tokens(500))
    shortage = refused(reserve(allowance, book, scoped, tokens(1)))
    assert shortage.is_final


def test_nothing_is_taken_where_one_scope_is_short() -> None:
    allowance, book = Allowance(), Book()
    wide, narrow = limited(KEY, tokens_per_day=100), limited(TENANT, requests_per_minute=1)
    admitted(reserve(allowance, book, [narrow], tokens(0)))
    refused(reserve(allowance, book, [wide, narrow], tokens(100)))
    admitted(reserve(allowance, book, [wide], tokens(100)))


def test_a_slot_comes_back_when_the_request_ends() -> None:
    allowance, book, scoped = Allowance(), Book(), [limited(concurrent_requests=1)]
    first = admitted(reserve(allowance, book, scoped, Amounts()))
    assert refused(reserve(allowance, book, scoped, Amounts())).retry_after_s == 1.0
    first.settle(Amounts())
    assert first.charges == ()
    admitted(reserve(allowance, book, scoped, Amounts()))


def test_a_new_minute_begins_anew() -> None:
    allowance, book, scoped = Allowance(), Book(), [limited(requests_per_minute=1)]
    admitted(reserve(allowance, book, scoped, Amounts())).settle(Amounts())
    assert refused(reserve(allowance, book, scoped, Amounts())).retry_after_s == 30.0
    admitted(reserve(allowance, book, scoped, Amounts(), NOW + 30))


def test_what_was_let_in_and_is_not_to_count_does_not() -> None:
    allowance, book, scoped = Allowance(), Book(), [limited(requests_per_minute=1)]
    admitted(reserve(allowance, book, scoped, Amounts())).settle(NOTHING)
    admitted(reserve(allowance, book, scoped, Amounts()))


def test_a_reservation_cannot_be_settled_twice() -> None:
    reservation = admitted(reserve(Allowance(), Book(), [limited(requests_per_minute=1)], Amounts()))
    reservation.settle(Amounts())
    with pytest.raises(RuntimeError, match="settled twice"):
        reservation.settle(Amounts())


def test_charges_name_the_window_of_the_reservation() -> None:
    scoped = [limited(KEY, tokens_per_minute=10), limited(TENANT, cost_per_month=1)]
    reservation = admitted(reserve(Allowance(), Book(), scoped, tokens(1)))
    assert [str(counter) for counter in reservation.charges] == [
        "key/k/tokens_per_minute/1800000000",
        "tenant/t/cost_per_month/1798761600",
    ]


def test_limits_that_are_changed_hold_at_once() -> None:
    allowance, book = Allowance(), Book()
    admitted(reserve(allowance, book, [limited(requests_per_minute=1)], Amounts())).settle(Amounts())
    admitted(reserve(allowance, book, [limited(requests_per_minute=2)], Amounts())).settle(Amounts())
    refused(reserve(allowance, book, [limited(requests_per_minute=2)], Amounts()))


def test_a_steady_load_needs_no_ticks_but_the_periodic_ones() -> None:
    allowance, book, scoped = Allowance(), Book(2), [limited(tokens_per_day=10**6)]
    for second in range(20):
        used: Sums[Counter] = Sums()
        for request in range(50):
            outcome = reserve(allowance, book, scoped, tokens(100), NOW + second + request / 50)
            reservation = admitted(outcome)
            reservation.settle(tokens(40))
            used.update(dict.fromkeys(reservation.charges, 40))
        if second == 1:
            book.num_ticks = 0
        book.tick("a", allowance, NOW + second + 1, used)
    assert book.num_ticks == 19


def test_a_limit_that_is_used_up_is_refused_without_asking_again() -> None:
    allowance, book, scoped = Allowance(), Book(), [limited(requests_per_minute=1)]
    admitted(reserve(allowance, book, scoped, Amounts()))
    refused(reserve(allowance, book, scoped, Amounts()))
    before = book.num_ticks
    for _ in range(100):
        refused(reserve(allowance, book, scoped, Amounts()))
    assert book.num_ticks == before


def test_a_replica_without_requests_yields_to_one_that_waits_within_a_tick() -> None:
    book, scoped = Book(2), [limited(concurrent_requests=4)]
    idle, busy = Allowance(), Allowance()
    admitted(reserve(idle, book, scoped, Amounts(), replica="idle")).settle(Amounts())
    book.tick("idle", idle, NOW)
    held = [admitted(reserve(busy, book, scoped, Amounts(), replica="busy")) for _ in range(3)]
    refused(reserve(busy, book, scoped, Amounts(), replica="busy"))
    book.tick("idle", idle, NOW + 1)  # learns that another one waits
    book.tick("idle", idle, NOW + 2)
    book.tick("busy", busy, NOW + 2)
    held.append(admitted(reserve(busy, book, scoped, Amounts(), NOW + 2, "busy")))
    assert len(held) == 4


def test_a_replica_with_all_slots_in_use_lets_another_one_have_some_as_they_come_back() -> None:
    book, scoped = Book(2), [limited(concurrent_requests=4)]
    first, second = Allowance(), Allowance()
    held = [admitted(reserve(first, book, scoped, Amounts(), replica="first")) for _ in range(4)]
    refused(reserve(second, book, scoped, Amounts(), replica="second"))
    book.tick("first", first, NOW + 1)
    for reservation in held[:3]:
        reservation.settle(Amounts())
    admitted(first.reserve(scoped, Amounts(), NOW + 1))
    refused(first.reserve(scoped, Amounts(), NOW + 1))
    book.tick("first", first, NOW + 2)
    book.tick("second", second, NOW + 2)
    admitted(reserve(second, book, scoped, Amounts(), NOW + 2, "second"))


def test_what_nobody_asks_for_is_given_back_and_forgotten() -> None:
    allowance, book, scoped = Allowance(), Book(), [limited(tokens_per_day=1000)]
    admitted(reserve(allowance, book, scoped, tokens(100))).settle(NOTHING)
    for second in range(10):
        book.tick("a", allowance, NOW + second)
    assert set(book.leases.values()) == {(0, 0)}
    assert allowance.orders(NOW + 10) == []


@pytest.mark.parametrize(("policy", "error"), [("allow", None), ("deny", StateUnavailableError)])
def test_in_an_outage_the_policy_decides_once_the_leases_are_used_up(
    policy: str, error: type[Exception] | None
) -> None:
    allowance, book = Allowance("allow" if policy == "allow" else "deny"), Book()
    scoped = [limited(tokens_per_day=1000)]
    admitted(reserve(allowance, book, scoped, tokens(100))).settle(NOTHING)
    allowance.outage = "no answer"
    admitted(allowance.reserve(scoped, tokens(100), NOW))
    outcome = allowance.reserve(scoped, tokens(100), NOW)
    assert isinstance(outcome, Shortage) == (error is not None)
    if error is not None:
        assert isinstance(refused(outcome).error(), error)


def test_what_was_overdrawn_in_an_outage_counts_after_it() -> None:
    allowance, book, scoped = Allowance(), Book(), [limited(tokens_per_day=100)]
    allowance.outage = "no answer"
    reservation = admitted(allowance.reserve(scoped, tokens(150), NOW))
    reservation.settle(tokens(150))
    allowance.outage = None
    book.tick("a", allowance, NOW, dict.fromkeys(reservation.charges, 150))
    refused(reserve(allowance, book, scoped, tokens(1)))


def test_leases_that_ran_out_are_not_used() -> None:
    allowance, book, scoped = Allowance("deny"), Book(), [limited(tokens_per_day=1000)]
    admitted(reserve(allowance, book, scoped, tokens(100))).settle(NOTHING)
    allowance.forfeit()
    refused(allowance.reserve(scoped, tokens(100), NOW))


def test_a_refusal_says_which_limit_of_whom_and_when_there_is_more() -> None:
    allowance, book, scoped = Allowance(), Book(), [limited(TENANT, cost_per_day="0.5", requests_per_minute=9)]
    admitted(reserve(allowance, book, scoped, Amounts(cost_nano=5 * 10**8))).settle(Amounts(cost_nano=5 * 10**8))
    error = refused(reserve(allowance, book, scoped, Amounts(cost_nano=1))).error()
    assert isinstance(error, QuotaExceededError)
    assert str(error).startswith("tenant 't' has reached its cost_per_day of 0.5 (there may be more in ")
    assert error.is_budget
    assert error.retry_after_s > 60


@dataclass
class Replica:
    allowance: Allowance = field(default_factory=Allowance)
    under_way: list[tuple[Reservation, int]] = field(default_factory=list)
    used: Sums[Counter] = field(default_factory=Sums)


@settings(max_examples=300)
@given(
    limit=st.integers(1, 300),
    steps=st.lists(
        st.tuples(st.sampled_from("rrrrsst"), st.integers(0, 2), st.integers(1, 50), st.integers(0, 50)),
        max_size=120,
    ),
)
def test_replicas_never_spend_more_than_the_limit_and_one_request_each(
    limit: int, steps: list[tuple[str, int, int, int]]
) -> None:
    """Requests never use more than they ask for, which is what an upper bound means."""
    book, scoped = Book(3), [limited(tokens_per_day=limit)]
    replicas = [Replica() for _ in range(3)]
    spent = largest = 0
    for time, (step, which, asked, used) in enumerate(steps):
        replica, now = replicas[which], NOW + time / 10
        if step == "r":
            outcome = replica.allowance.reserve(scoped, tokens(asked), now)
            if isinstance(outcome, Reservation):
                replica.under_way.append((outcome, min(asked, used)))
                largest = max(largest, asked)
        elif step == "s" and replica.under_way:
            reservation, amount = replica.under_way.pop()
            reservation.settle(tokens(amount))
            replica.used.update(dict.fromkeys(reservation.charges, amount))
            spent += amount
        elif step == "t":
            book.tick(str(which), replica.allowance, now, replica.used)
            replica.used = Sums()
        assert spent <= limit + 3 * largest
    assert all(spent + book.leased(counter) <= limit + 3 * largest for counter, spent in book.spent.items())


@given(asked=st.lists(st.integers(1, 60), max_size=20), first=st.integers(1, 100), second=st.integers(1, 100))
def test_a_reservation_is_over_all_scopes_or_none(asked: list[int], first: int, second: int) -> None:
    """Whoever has the smaller limit, both have counted the same at the end."""
    allowance, book = Allowance(), Book()
    scoped = [limited(KEY, tokens_per_day=first), limited(TENANT, tokens_per_day=second)]
    used: Sums[Counter] = Sums()
    for amount in asked:
        outcome = reserve(allowance, book, scoped, tokens(amount))
        if isinstance(outcome, Reservation):
            outcome.settle(tokens(amount))
            used.update(dict.fromkeys(outcome.charges, amount))
    assert len(set(used.values())) <= 1
    book.tick("a", allowance, NOW, used)
    assert allowance.status(scoped, NOW).tokens is None


def test_standings_are_what_is_used_and_leased_of_each_limit_in_its_window() -> None:
    allowance, book, scoped = Allowance(), Book(), [limited(TENANT, tokens_per_day=100, requests_per_minute=4)]
    assert allowance.standings(NOW) == []
    used = Amounts(requests=1, tokens=30)
    admitted(reserve(allowance, book, scoped, used)).settle(used)
    shares = {str(each.counter.limit): (each.used, each.leased > 0) for each in allowance.standings(NOW)}
    assert shares == {"tokens_per_day": (0.3, True), "requests_per_minute": (0.25, True)}
    a_minute_later = {str(each.counter.limit) for each in allowance.standings(NOW + 60)}
    assert a_minute_later == {"tokens_per_day"}
