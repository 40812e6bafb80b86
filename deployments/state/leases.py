"""Leases on counters. Replicas decide on them one after the other: each begins with ``take_turn``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, Select, delete, func, select

from deployments.limits.limit_set import Counter
from deployments.limits.sizing import Balance, Grant, Order, size_lease
from deployments.state.schema import COUNTERS, LEASES, REPLICAS, REVISIONS
from deployments.state.upsert import put_rows

LEASE_S = 20.0
"""For how long a replica that is not heard of keeps its leases."""

TURN = "leases"
"""The row of ``revisions`` that replicas lock in order to take turns."""

_MAX_NAMES = 10_000  # in one statement; SQLite allows 32,766 parameters and PostgreSQL 65,535
_KEPT_S = 3600.0  # counters of a window that has passed


def take_turn(connection: Connection, replica: str, now: float) -> int:
    """Wait until no other replica decides, and tell that this one lives. Returns how many do.

    What dead ones hold comes free. The turn ends with the transaction.
    """
    connection.execute(select(REVISIONS).where(REVISIONS.c.topic == TURN).with_for_update())
    put_rows(connection, REPLICAS, [{"replica": replica, "expires_at": now + LEASE_S}])
    rows = connection.execute(select(REPLICAS)).all()
    dead = [row.replica for row in rows if row.expires_at <= now]
    release(connection, dead)
    return len(rows) - len(dead)


def release(connection: Connection, replicas: Sequence[str]) -> None:
    """Free whatever these replicas hold."""
    if replicas:
        for table in (LEASES, REPLICAS):
            connection.execute(delete(table).where(table.c.replica.in_(replicas)))


def renew(
    connection: Connection, replica: str, orders: Sequence[Order], booked: Mapping[Counter, int], num_replicas: int
) -> list[Grant]:
    """Replace the leases of ``replica`` by what it orders, as far as there is so much.

    ``booked``: how much of what it held in the order has been counted as spent since.
    """
    balances = _balances(connection, replica, [str(order.counter) for order in orders])
    grants = [
        size_lease(order, balances.get(str(order.counter), Balance()), booked.get(order.counter, 0), num_replicas)
        for order in orders
    ]
    rows = [
        {
            "counter": str(order.counter),
            "replica": replica,
            "amount": grant.amount,
            "unmet": grant.unmet,
            "ends_at": order.ends_at,
        }
        for order, grant in zip(orders, grants, strict=True)
    ]
    put_rows(connection, LEASES, rows)
    if any(row["amount"] == row["unmet"] == 0 for row in rows):
        empty = (LEASES.c.replica == replica) & (LEASES.c.amount == 0) & (LEASES.c.unmet == 0)
        connection.execute(delete(LEASES).where(empty))
    return grants


def purge(connection: Connection, now: float) -> None:
    """Forget windows that have long passed."""
    for table in (COUNTERS, LEASES):
        connection.execute(delete(table).where(table.c.ends_at < now - _KEPT_S))


def _balances(connection: Connection, replica: str, names: Sequence[str]) -> dict[str, Balance]:
    """Of the counters that were spent or that other replicas hold or lack."""
    balances: dict[str, Balance] = {}
    for start in range(0, len(names), _MAX_NAMES):
        part = names[start : start + _MAX_NAMES]
        spent = select(COUNTERS.c.counter, COUNTERS.c.spent).where(COUNTERS.c.counter.in_(part))
        balances |= {row.counter: Balance(spent=row.spent) for row in connection.execute(spent)}
        for row in connection.execute(_others(replica, part)):
            known = balances.get(row.counter, Balance())
            balances[row.counter] = Balance(known.spent, int(row.amount), int(row.unmet))
    return balances


def _others(replica: str, names: Sequence[str]) -> Select[tuple[str, int, int]]:
    sums = (func.sum(LEASES.c.amount).label("amount"), func.sum(LEASES.c.unmet).label("unmet"))
    of_others = LEASES.c.counter.in_(names) & (LEASES.c.replica != replica)
    return select(LEASES.c.counter, *sums).where(of_others).group_by(LEASES.c.counter)
