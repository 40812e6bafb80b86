"""What one router replica may spend: its leases, and the reservations of its requests. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

from deployments.limits.amounts import Amounts, Unit
from deployments.limits.demand import Demand
from deployments.limits.lease import Lease
from deployments.limits.limit_set import Counter, LimitSet, Scope, ScopedLimits
from deployments.limits.rates import RateStatus, rate_status
from deployments.limits.shortage import Shortage
from deployments.limits.sizing import Grant, Order

OutagePolicy = Literal["allow", "deny"]


class Reservation:
    """What a request under way has taken. Settle it exactly once."""

    __slots__ = ("_is_settled", "_taken")

    def __init__(self, taken: list[tuple[Lease, int, int]]) -> None:
        self._taken = taken
        self._is_settled = False

    @property
    def charges(self) -> tuple[Counter, ...]:
        """The counters that the request is charged to; they belong into its record in the journal."""
        return tuple(lease.counter for lease, _, _ in self._taken if lease.unit is not Unit.SLOTS)

    def part(self, unit: Unit) -> Reservation:
        """What was taken of this unit, from now on a reservation of its own."""
        parted = Reservation([each for each in self._taken if each[0].unit is unit])
        self._taken = [each for each in self._taken if each[0].unit is not unit]
        return parted

    def settle(self, used: Amounts) -> None:
        """Give back what was not used.

        What was used has to be journaled in the same step, with these ``charges``: the leases hold it until the
        journal has told the database of it.
        """
        if self._is_settled:
            raise RuntimeError(f"a reservation of {self.charges} was settled twice")
        self._is_settled = True
        for lease, asked, taken in self._taken:
            lease.settle(asked, taken, used[lease.unit])


@dataclass(slots=True)
class _ScopeLeases:
    """The leases of one scope under the limits that it had, until the first of its windows ends."""

    limits: LimitSet
    until: float
    leases: list[Lease]


@dataclass(frozen=True, slots=True)
class Standing:
    """How one limit stands in its window, as far as this replica knows: shares of the limit, 1 for all of it.

    ``leased`` is what this replica holds of it, to spend without asking.
    """

    counter: Counter
    used: float
    leased: float


class Allowance:
    """All leases of one router replica. Times are seconds since the epoch. To be used from one thread.

    ``outage`` is why the state database cannot be asked, None while it can: leases are not refilled, and when one
    is used up ``on_outage`` decides.
    """

    def __init__(self, on_outage: OutagePolicy = "allow") -> None:
        self.outage: str | None = None
        self._overdraws = on_outage == "allow"
        self._leases: dict[Counter, Lease] = {}
        self._scopes: dict[Scope, _ScopeLeases] = {}

    def reserve(self, scoped: Sequence[ScopedLimits], asked: Amounts, now: float) -> Reservation | Shortage:
        """Take ``asked`` of every limit of every scope, or nothing at all and say what is short.

        Where less is left than was asked for, one request at a time gets the rest.
        """
        leases = self._of(scoped, now)
        for lease in leases:
            if not lease.admits(asked[lease.unit]) and not (self.outage and self._overdraws):
                return self._refuse(leases, asked, now)
        return Reservation([_take(lease, asked[lease.unit]) for lease in leases])

    def status(self, scoped: Sequence[ScopedLimits], now: float) -> RateStatus:
        """How much is left of the limits per minute, of the tightest scope."""
        return rate_status(self._of(scoped, now), now)

    def standings(self, now: float) -> list[Standing]:
        """Of the limits that were asked for lately."""
        return [
            Standing(lease.counter, lease.used / lease.limit, lease.amount / lease.limit)
            for lease in self._leases.values()
            if lease.ends_at > now
        ]

    def orders(self, now: float) -> list[Order]:
        """What to ask of the state database; the answer goes to ``update``. Forgets what has passed."""
        for lease in [lease for lease in self._leases.values() if lease.is_over(now)]:
            del self._leases[lease.counter]
            self._scopes.pop(Scope(lease.counter.kind, lease.counter.scope), None)
        return [lease.order(now) for lease in self._leases.values() if lease.ends_at > now]

    def update(self, grants: Iterable[Grant], booked: Mapping[Counter, int]) -> None:
        """The database's answer; ``booked`` is how much of what this replica used it counts since the last one."""
        for counter, amount in booked.items():
            if counter in self._leases:
                self._leases[counter].book(amount)
        for grant in grants:
            if grant.counter in self._leases:
                self._leases[grant.counter].accept(grant)

    def forfeit(self) -> None:
        """The leases have run out: only what requests under way took is left."""
        for lease in self._leases.values():
            lease.forfeit()

    def _refuse(self, leases: Iterable[Lease], asked: Amounts, now: float) -> Shortage:
        """Names the limit that will be in the way for longest; all that are in the way are to be refilled."""
        short = [lease for lease in leases if not lease.admits(asked[lease.unit])]
        for lease in short:
            lease.demand.miss(asked[lease.unit])
        worst = max(short, key=lambda lease: (lease.is_dry, lease.retry_after_s(now)))
        return Shortage(worst.counter, worst.limit, worst.retry_after_s(now), worst.is_dry, self.outage)

    def _of(self, scoped: Sequence[ScopedLimits], now: float) -> list[Lease]:
        found: list[Lease] = []
        for each in scoped:
            known = self._scopes.get(each.scope)
            if known is None or known.limits is not each.limits or known.until <= now:
                known = self._scopes[each.scope] = self._open(each, known, now)
            found += known.leases
        return found

    def _open(self, scoped: ScopedLimits, before: _ScopeLeases | None, now: float) -> _ScopeLeases:
        """The leases of windows that have just begun expect the demand of those before them."""
        demands = {lease.counter.limit: lease.demand for lease in before.leases} if before else {}
        leases = []
        for name, limit in scoped.limits.limits():
            start, ends_at = name.window.bounds(now)
            counter = Counter(*scoped.scope, name, start)
            lease = self._leases.get(counter)
            if lease is None:
                lease = Lease(counter, limit, ends_at, demands.get(name) or Demand(now))
                self._leases[counter] = lease
            lease.limit = limit
            leases.append(lease)
        return _ScopeLeases(scoped.limits, min((lease.ends_at for lease in leases), default=inf), leases)


def _take(lease: Lease, asked: int) -> tuple[Lease, int, int]:
    return lease, asked, lease.take(asked) if lease.admits(asked) else lease.overdraw(asked)
