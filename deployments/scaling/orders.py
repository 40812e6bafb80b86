"""Replicas that have been decided on and do not serve yet."""

from __future__ import annotations

from typing import TypeAlias

Orders: TypeAlias = tuple[tuple[float, int], ...]


def outstanding(orders: Orders, num_starting: int) -> Orders:
    """Of the orders, the newest ones, as many as are starting: the older ones have been met, or called off."""
    left: list[tuple[float, int]] = []
    for at, number in reversed(orders):
        if num_starting <= 0:
            break
        left.append((at, min(number, num_starting)))
        num_starting -= number
    return tuple(reversed(left))


def served_s(orders: Orders, num_ready: int, now: float, start_s: float) -> float:
    """For how many replica-seconds there will be service in the ``start_s`` from now on, which is what a start
    takes: a replica that was ordered x seconds ago serves for the last x of them."""
    return num_ready * start_s + sum(number * min(start_s, max(0.0, now - at)) for at, number in orders)
