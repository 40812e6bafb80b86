"""The requests that wait for one model version: by priority, fairly between tenants, in bounded numbers. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Generic

from deployments.identity.caller import Priority
from deployments.routing.fair_share import FairShare, T

# While both wait, one turn in this many is a batch request's: batch work under a lasting interactive load goes on,
# so that its callers neither time out for ever nor hold their connections in vain, and an interactive request is
# delayed by a twentieth at most.
BATCH_TURN_OF = 20

# Of both bounds, what batch requests find free. The rest is for interactive ones, so that these need not send away
# what has begun to wait: a request that is refused should hear it at once.
BATCH_BOUND_SHARE = 0.75


@dataclass(frozen=True, slots=True)
class QueueBounds:
    """The most requests that wait for one version in one router replica, of all tenants and of each."""

    max_waiting: int = 256
    max_waiting_per_tenant: int = 128

    def for_priority(self, priority: Priority) -> QueueBounds:
        """How many may wait when one of this priority comes."""
        if priority is Priority.INTERACTIVE:
            return self
        return QueueBounds(
            ceil(BATCH_BOUND_SHARE * self.max_waiting), ceil(BATCH_BOUND_SHARE * self.max_waiting_per_tenant)
        )


class FairQueue(Generic[T]):
    """Interactive requests before batch ones; within each the tenants' fair shares."""

    def __init__(self, bounds: QueueBounds) -> None:
        self._bounds = {priority: bounds.for_priority(priority) for priority in Priority}
        self._interactive: FairShare[T] = FairShare()
        self._batch: FairShare[T] = FairShare()
        self._passed_over = 0

    def __len__(self) -> int:
        return len(self._interactive) + len(self._batch)

    def push(self, ticket: T) -> T | None:
        """Let it wait; returns who has to go because of it: none, itself, or another.

        Where its bound for the tenant or for all is reached, an interactive request takes the place of the
        newest batch request (of that tenant, or of all); every other has to go itself.
        """
        displaced = self._displaced_by(ticket)
        if displaced is ticket:
            return ticket
        if displaced is not None:
            self.discard(displaced)
        self._class(ticket.priority).push(ticket)
        return displaced

    def pop(self, *, batch: bool) -> T | None:
        """The next one; batch requests are left out unless ``batch``. None when nobody waits who may go."""
        if not (batch and self._batch):
            return self._interactive.pop()
        if self._interactive and self._passed_over < BATCH_TURN_OF - 1:
            self._passed_over += 1
            return self._interactive.pop()
        self._passed_over = 0
        return self._batch.pop()

    def discard(self, ticket: T) -> None:
        """Take it out, wherever it stands; nothing if it does not wait."""
        self._class(ticket.priority).discard(ticket)

    def ahead_of(self, ticket: T) -> int:
        """How many would have their turn before ``ticket``, if it came now and nobody after it.

        Of the other class those that the turns of one in ``BATCH_TURN_OF`` put first.
        """
        own = self._class(ticket.priority).ahead_of(ticket)
        in_a_row = BATCH_TURN_OF - 1
        if ticket.priority is Priority.BATCH:
            return own + min(len(self._interactive), (own + 1) * in_a_row - self._passed_over)
        return own + min(len(self._batch), (own + self._passed_over) // in_a_row)

    def _class(self, priority: Priority) -> FairShare[T]:
        return self._batch if priority is Priority.BATCH else self._interactive

    def _displaced_by(self, ticket: T) -> T | None:
        tenant, bounds = ticket.tenant, self._bounds[ticket.priority]
        num_of_tenant = self._interactive.num_of(tenant) + self._batch.num_of(tenant)
        tenant_is_full = num_of_tenant >= bounds.max_waiting_per_tenant
        if not tenant_is_full and len(self) < bounds.max_waiting:
            return None
        if ticket.priority is Priority.BATCH:
            return ticket
        return self._batch.newest(tenant if tenant_is_full else None) or ticket
