"""Replicas that have been decided on and do not serve yet."""

from __future__ import annotations

from deployments.scaling.orders import outstanding, served_s


def test_the_oldest_orders_are_met_first() -> None:
    orders = ((0.0, 2), (10.0, 3))
    assert outstanding(orders, 5) == orders
    assert outstanding(orders, 4) == ((0.0, 1), (10.0, 3))
    assert outstanding(orders, 2) == ((10.0, 2),)
    assert outstanding(orders, 0) == ()
    assert outstanding(orders, 9) == orders


def test_a_replica_serves_from_the_end_of_its_start_on() -> None:
    assert served_s((), 2, now=100, start_s=20) == 40
    assert served_s(((95.0, 3),), 0, now=100, start_s=20) == 15
    assert served_s(((0.0, 1),), 0, now=100, start_s=20) == 20  # late: it may come at any moment
