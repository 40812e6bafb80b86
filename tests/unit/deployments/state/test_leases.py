from __future__ import annotations

from math import inf

from sqlalchemy import Connection, select

from deployments.limits.limit_set import Counter, LimitName, ScopeKind
from deployments.limits.sizing import Grant, Order
from deployments.state.database import Database
from deployments.state.leases import LEASE_S, purge, release, renew, take_turn
from deployments.state.schema import COUNTERS, LEASES, REPLICAS
from deployments.state.upsert import add_rows
from tests.unit.deployments.state.journals import NOW, TOKENS

SLOTS = Counter(ScopeKind.KEY, "ab12cd34", LimitName.CONCURRENT_REQUESTS, 0)


def order(counter: Counter = TOKENS, *, held: int = 0, more: int = 0, need: int = 0) -> Order:
    return Order(counter, 1000, counter.ends_at, held=held, free=0, more=more, need=need)


def ask(database: Database, replica: str, *orders: Order, now: float = NOW) -> list[Grant]:
    with database.transaction() as connection:
        return renew(connection, replica, orders, {}, take_turn(connection, replica, now))


def held(database: Database) -> dict[str, int]:
    with database.read() as connection:
        return dict(connection.execute(select(LEASES.c.replica, LEASES.c.amount)).all())


def test_replicas_share_what_is_left(database: Database) -> None:
    assert ask(database, "r1", order(need=700))[0].amount == 700
    (grant,) = ask(database, "r2", order(need=700))
    assert (grant.amount, grant.unmet) == (300, 400)
    (grant,) = ask(database, "r1", order(held=700))
    assert (grant.amount, grant.contested) == (700, True)


def test_what_was_spent_is_not_there(database: Database) -> None:
    with database.transaction() as connection:
        add_rows(connection, COUNTERS, [{"counter": str(TOKENS), "spent": 900, "ends_at": NOW + 60}], ["spent"])
    assert ask(database, "r1", order(need=700))[0].amount == 100


def test_an_empty_lease_leaves_no_row(database: Database) -> None:
    ask(database, "r1", order(more=100), order(SLOTS, more=3))
    ask(database, "r1", order(), order(SLOTS, held=3))
    with database.read() as connection:
        rows = connection.execute(select(LEASES.c.counter, LEASES.c.amount, LEASES.c.ends_at)).all()
    assert rows == [(str(SLOTS), 3, inf)]


def test_a_replica_that_is_not_heard_of_loses_its_leases(database: Database) -> None:
    ask(database, "r1", order(need=1000))
    assert ask(database, "r2", order(need=1000), now=NOW + LEASE_S - 1)[0].amount == 0
    ask(database, "r2", now=NOW + 2 * LEASE_S - 2)
    assert held(database) == {"r2": 0}
    assert ask(database, "r2", order(need=1000), now=NOW + 2 * LEASE_S - 2)[0].amount == 1000


def test_what_is_released_is_free_at_once(database: Database) -> None:
    ask(database, "r1", order(need=1000))
    with database.transaction() as connection:
        release(connection, ["r1"])
        assert connection.execute(select(REPLICAS)).all() == []
    assert ask(database, "r2", order(need=1000))[0].amount == 1000


def test_more_counters_than_a_statement_takes(database: Database) -> None:
    counters = [TOKENS._replace(scope=str(number)) for number in range(12_000)]
    grants = ask(database, "r1", *(order(counter, need=1) for counter in counters))
    assert sum(grant.amount for grant in grants) == len(counters)
    assert all(grant.unmet for grant in ask(database, "r2", *(order(counter, need=1000) for counter in counters)))


def test_old_windows_are_forgotten_and_slots_are_not(database: Database) -> None:
    ask(database, "r1", order(more=1), order(SLOTS, more=1))

    def counters(connection: Connection) -> set[str]:
        return set(connection.execute(select(LEASES.c.counter)).scalars())

    with database.transaction() as connection:
        purge(connection, TOKENS.ends_at + 60)
        assert counters(connection) == {str(TOKENS), str(SLOTS)}
        purge(connection, TOKENS.ends_at + 7200)
        assert counters(connection) == {str(SLOTS)}
