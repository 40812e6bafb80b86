"""The places of one model version in one router replica, and the queue for them. Pure: who gets in is returned."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Generic

from deployments.identity.caller import Priority
from deployments.routing.fair_queue import FairQueue, QueueBounds
from deployments.routing.fair_share import T

# Of the newest service time in the running mean: about the last ten decide.
_NEWEST_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class LaneLimits:
    """``batch_share``: of the places, those that batch requests may take; at least one.

    ``interactive_wait_s``: an interactive request that would probably wait longer is refused at once, whatever
    its deadline.
    """

    queue: QueueBounds = field(default_factory=QueueBounds)
    batch_share: float = 0.75
    interactive_wait_s: float = 5.0

    def __post_init__(self) -> None:
        if not 0 < self.batch_share <= 1:
            raise ValueError(f"batch_share {self.batch_share:g} is not above 0 and at most 1")


class Lane(Generic[T]):
    """Of those that wait, none could go: whatever frees a place gives it away at once."""

    def __init__(self, limits: LaneLimits) -> None:
        self._limits = limits
        self._queue: FairQueue[T] = FairQueue(limits.queue)
        self._under_way = dict.fromkeys(Priority, 0)
        self._capacity = 0
        self._service_s: float | None = None

    @property
    def capacity(self) -> int:
        return self._capacity

    @property
    def num_under_way(self) -> int:
        return sum(self._under_way.values())

    @property
    def num_waiting(self) -> int:
        return len(self._queue)

    def resize(self, capacity: int) -> list[T]:
        """From now on there are so many places; returns who gets in. Nobody is put out."""
        self._capacity = capacity
        return self._let_in()

    def take(self, priority: Priority) -> bool:
        """Take a place if there is one."""
        if not self._has_place(priority):
            return False
        self._under_way[priority] += 1
        return True

    def wait(self, ticket: T) -> T | None:
        """Queue for a place; returns who has to go because of it, as ``FairQueue.push`` does."""
        return self._queue.push(ticket)

    def give_up(self, ticket: T) -> None:
        """Wait no longer; nothing if it does not wait."""
        self._queue.discard(ticket)

    def leave(self, priority: Priority, served_s: float | None = None) -> list[T]:
        """Give a place back after ``served_s`` of work, None of none; returns who gets in."""
        self._under_way[priority] -= 1
        if served_s is not None:
            last_s = served_s if self._service_s is None else self._service_s
            self._service_s = last_s + _NEWEST_SHARE * (served_s - last_s)
        return self._let_in()

    def drain(self) -> list[T]:
        """Everyone who waits, taken out of the queue."""
        waiting = []
        while (ticket := self._queue.pop(batch=True)) is not None:
            waiting.append(ticket)
        return waiting

    def expected_wait_s(self, ticket: T) -> float | None:
        """How long ``ticket`` would wait if it came now; None until a request has been served.

        Its place in the queue times the recent mean time of service over the places that its class may take.
        """
        places = self._places(ticket.priority)
        if self._service_s is None or not places:
            return None
        return (self._queue.ahead_of(ticket) + 1) * self._service_s / places

    def patience_s(self, ticket: T, remaining_s: float) -> float:
        """The longest wait for which ``ticket`` should queue, when its deadline is in ``remaining_s``."""
        if ticket.priority is Priority.BATCH:
            return remaining_s
        return min(remaining_s, self._limits.interactive_wait_s)

    def _places(self, priority: Priority) -> int:
        if priority is Priority.INTERACTIVE or not self._capacity:
            return self._capacity
        return max(1, math.floor(self._limits.batch_share * self._capacity))

    def _has_place(self, priority: Priority) -> bool:
        if self.num_under_way >= self._capacity:
            return False
        return priority is Priority.INTERACTIVE or self._under_way[priority] < self._places(priority)

    def _let_in(self) -> list[T]:
        let_in = []
        while self.num_under_way < self._capacity:
            ticket = self._queue.pop(batch=self._has_place(Priority.BATCH))
            if ticket is None:
                break
            self._under_way[ticket.priority] += 1
            let_in.append(ticket)
        return let_in
