"""A state database in a dictionary, for tests of what replicas decide by it."""

from __future__ import annotations

from collections import Counter as Sums
from collections.abc import Mapping

from deployments.limits.allowance import Allowance
from deployments.limits.limit_set import Counter
from deployments.limits.sizing import Balance, size_lease


class Book:
    """Counters and leases of replicas that tick at once and never fail."""

    def __init__(self, num_replicas: int = 1) -> None:
        self.num_replicas = num_replicas
        self.spent: Sums[Counter] = Sums()
        self.leases: dict[tuple[Counter, str], tuple[int, int]] = {}
        self.num_ticks = 0

    def tick(
        self, replica: str, allowance: Allowance, now: float, used: Mapping[Counter, int] | None = None
    ) -> None:
        """``used``: what finished requests of this replica used since its last tick."""
        self.num_ticks += 1
        booked = used or {}
        self.spent.update(booked)
        grants = []
        for order in allowance.orders(now):
            others = [
                lease
                for (counter, holder), lease in self.leases.items()
                if counter == order.counter and holder != replica
            ]
            balance = Balance(
                self.spent[order.counter], *(map(sum, zip(*others, strict=True)) if others else (0, 0))
            )
            grant = size_lease(order, balance, booked.get(order.counter, 0), self.num_replicas)
            self.leases[order.counter, replica] = (grant.amount, grant.unmet)
            grants.append(grant)
        allowance.update(grants, booked)

    def leased(self, counter: Counter) -> int:
        """What all replicas hold."""
        return sum(amount for (held, _), (amount, _) in self.leases.items() if held == counter)
