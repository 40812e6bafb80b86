"""How much of a limit one router replica may spend without asking: its lease. Pure.

``Order`` is what a replica asks of the state database once per tick, ``Grant`` the answer. Amounts are in the
limit's unit. At every moment: spent + all leases <= limit, unless requests under way have gone beyond it.
"""

from __future__ import annotations

from dataclasses import dataclass

from deployments.limits.limit_set import Counter


@dataclass(frozen=True, slots=True)
class Order:
    """What a replica holds of a counter and wants of it.

    ``held``: what it keeps, with what its requests took. ``free``: the part of that which nothing took yet.
    ``more``: what it would like to have on top. ``need``: what it must have free to admit a request that waits.
    """

    counter: Counter
    limit: int
    ends_at: float
    held: int
    free: int
    more: int
    need: int

    @property
    def wish(self) -> int:
        """The free part that it would like to have."""
        return max(self.free + self.more, self.need)


@dataclass(frozen=True, slots=True)
class Balance:
    """What the database says of a counter. ``others`` and ``unmet`` are those of the other replicas' leases."""

    spent: int = 0
    others: int = 0
    unmet: int = 0


@dataclass(frozen=True, slots=True)
class Grant:
    """What a replica has from now on.

    ``room``: what no replica has. ``fair``: an even share of what is free, more than which it may not keep.
    ``share``: an even share of the limit. ``unmet``: what is missing for the request that waits; 0 when there is
    enough. ``contested``: others wait.
    """

    counter: Counter
    amount: int
    spent: int
    room: int
    fair: int
    share: int
    unmet: int
    contested: bool


def size_lease(order: Order, balance: Balance, booked: int, num_replicas: int) -> Grant:
    """The lease of one replica, once ``booked`` of what it held has moved to ``balance.spent``.

    A replica gets what it needs now, if there is so much; beyond that no more than an even share. One that has
    an even share of the limit leaves to others what they lack.
    """
    base = max(0, order.held - booked)
    room = order.limit - balance.spent - balance.others - base
    fair = max(0, (room + order.free) // num_replicas)
    share = order.limit // num_replicas
    wanted = max(min(order.wish, fair), order.need) - order.free
    extra = max(0, min(wanted, room - (balance.unmet if base >= share else 0)))
    return Grant(
        counter=order.counter,
        amount=base + extra,
        spent=balance.spent,
        room=max(0, room - extra),
        fair=fair,
        share=share,
        unmet=max(0, order.need - order.free - extra),
        contested=balance.unmet > 0,
    )
