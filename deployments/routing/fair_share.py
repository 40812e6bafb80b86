"""Whose turn it is among tenants: start-time fair queueing by weight. Pure.

Every request costs one: what a generation will cost is not known before it ends.

Source: Goyal, Vin and Cheng, "Start-time Fair Queueing", SIGCOMM 1996. A tenant's request starts at the virtual
time max(now, the finish of its last one) and finishes 1/weight later; the lowest start goes first, and now is its
start from then on. Starts are given out at the head of a tenant's line only, so that one who leaves the line has
cost its tenant nothing.
"""

from __future__ import annotations

import heapq
import math
from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, TypeVar

from deployments.identity.caller import Priority


@dataclass(eq=False, slots=True)
class Ticket:
    """One request that wants a turn. ``weight`` (positive) is its tenant's; the newest request's weight holds."""

    priority: Priority
    tenant: str
    weight: float

    def __post_init__(self) -> None:
        if not 0 < self.weight < math.inf:
            raise ValueError(f"weight {self.weight} of tenant {self.tenant!r} is not positive and finite")


T = TypeVar("T", bound=Ticket)

_ROUNDING = 1e-6  # of virtual times, which are sums of 1/weight


@dataclass(slots=True)
class _Line(Generic[T]):
    """One tenant's requests in their order, each with its number; ``start`` is the next one's virtual time."""

    start: float
    weight: float
    waiting: OrderedDict[T, int] = field(default_factory=OrderedDict)

    def num_until(self, start: float) -> int:
        """How many of those that wait start no later than this."""
        turns = math.floor((start - self.start) * self.weight + _ROUNDING) + 1
        return min(len(self.waiting), max(0, turns))


class FairShare(Generic[T]):
    """Lines of tenants, first come first served within each. A tenant that was served keeps its place in the
    order, with an empty line too, until the others have caught up: leaving and coming back gains nothing."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line[T]] = {}
        self._order: list[tuple[float, int, str]] = []  # one entry for each line: its start, a number, its tenant
        self._numbers = count()
        self._now = 0.0
        self._num_waiting = 0

    def __len__(self) -> int:
        return self._num_waiting

    def num_of(self, tenant: str) -> int:
        """How many requests of the tenant wait."""
        line = self._lines.get(tenant)
        return len(line.waiting) if line else 0

    def push(self, ticket: T) -> None:
        """To the end of its tenant's line."""
        line = self._lines.get(ticket.tenant)
        if line is None:
            line = self._lines[ticket.tenant] = _Line(self._now, ticket.weight)
            self._enter(line, ticket.tenant)
        line.weight = ticket.weight
        line.waiting[ticket] = next(self._numbers)
        self._num_waiting += 1

    def pop(self) -> T | None:
        """The next one; None when nobody waits."""
        while self._order:
            start, _, tenant = heapq.heappop(self._order)
            line = self._lines[tenant]
            if line.waiting:
                return self._serve(line, start, tenant)
            del self._lines[tenant]
        return None

    def discard(self, ticket: T) -> None:
        """Take it out, wherever it stands; nothing if it does not wait."""
        line = self._lines.get(ticket.tenant)
        if line is not None and line.waiting.pop(ticket, None) is not None:
            self._left()

    def newest(self, tenant: str | None = None) -> T | None:
        """The one that came last, of one tenant or of all."""
        lines = self._lines.values() if tenant is None else [self._lines[tenant]] if tenant in self._lines else []
        last = [next(reversed(line.waiting.items())) for line in lines if line.waiting]
        return max(last, key=lambda entry: entry[1])[0] if last else None

    def ahead_of(self, ticket: T) -> int:
        """How many of those that wait have their turn before ``ticket`` if it comes now; ties count as before."""
        own = self._lines.get(ticket.tenant)
        num_own = len(own.waiting) if own else 0
        start = (own.start if own else self._now) + num_own / ticket.weight
        return num_own + sum(line.num_until(start) for line in self._lines.values() if line is not own)

    def _serve(self, line: _Line[T], start: float, tenant: str) -> T:
        ticket, _ = line.waiting.popitem(last=False)
        self._now = start
        line.start = start + 1 / line.weight
        self._enter(line, tenant)
        self._left()
        return ticket

    def _enter(self, line: _Line[T], tenant: str) -> None:
        heapq.heappush(self._order, (line.start, next(self._numbers), tenant))

    def _left(self) -> None:
        """When the last one goes, nobody has been kept waiting: all start again as equals."""
        self._num_waiting -= 1
        if not self._num_waiting:
            self._lines.clear()
            self._order.clear()
            self._now = 0.0
