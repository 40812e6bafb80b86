"""Keeps a router replica's allowance and the state database in step: one transaction per second, and no more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from math import inf
from typing import TypeVar

from deployments.limits.allowance import Allowance
from deployments.state.leases import LEASE_S
from deployments.state.ledger import Ledger
from models.errors import StateError

logger = logging.getLogger("ray.serve")

_TEND_PERIOD_S = 5.0

# Others must not have what is still spent here: a question may take some seconds to fail, and clocks differ.
_KEPT_S = LEASE_S - 6.0

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Outage:
    """The state database has not answered since then. ``waiting_bytes`` of the journal are not counted yet."""

    since: float
    reason: str
    waiting_bytes: int


class Bookkeeper:
    """Runs ``ledger`` in worker threads and tells ``allowance`` what it says. For one event loop.

    ``outage`` and ``revisions`` are those of the last tick. Errors of the database end here: until it answers
    again the allowance decides by itself, and the journal keeps what is used.
    """

    def __init__(
        self, ledger: Ledger, allowance: Allowance, clock: Callable[[], float], period_s: float = 1.0
    ) -> None:
        self._ledger = ledger
        self._allowance = allowance
        self._clock = clock
        self._period_s = period_s
        self._lock = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None
        self._under_way: asyncio.Task[None] | None = None
        self._is_behind = False
        self._answered_at, self._tended_at = clock(), -inf
        self.outage: Outage | None = None
        self.revisions: Mapping[str, int] = {}

    async def refill(self) -> None:
        """Return after a tick that began no earlier than this call. All who call before it begins share it."""
        if self._next is None:
            self._next = asyncio.create_task(self._take_turn())
        await asyncio.shield(self._next)

    async def run(self) -> None:
        """Tick until cancelled, at once and then once in each period."""
        while True:
            await self.refill()
            is_behind = await self._tend_in_time() or self._is_behind
            await asyncio.sleep(0 if is_behind else self._period_s)

    async def close(self) -> None:
        """Count what is left and give the leases back. To be called when no request is under way any more."""
        await self.refill()
        await self._ask(self._ledger.leave)

    async def _take_turn(self) -> None:
        async with self._lock:
            self._under_way, self._next = self._next, None
            orders = self._allowance.orders(self._clock())
            answer = await self._ask(lambda: self._ledger.settle(orders))
            self._is_behind = answer is not None and answer.is_behind
            if answer is not None:
                self._allowance.update(answer.grants, answer.booked)
                self.revisions = answer.revisions

    async def _tend_in_time(self) -> bool:
        """One step of it, so that requests do not wait long for their tick. Whether there is more to do."""
        if self.outage is not None or self._clock() - self._tended_at < _TEND_PERIOD_S:
            return False
        async with self._lock:
            has_more = bool(await self._ask(self._ledger.tend))
        if not has_more:
            self._tended_at = self._clock()
        return has_more

    async def _ask(self, question: Callable[[], Result]) -> Result | None:
        """None when the database does not answer."""
        asked_at = self._clock()
        try:
            answer = await asyncio.to_thread(question)
        except (StateError, OSError) as error:  # OSError: the journal cannot be read
            await self._fail(error)
            return None
        if self.outage is not None:
            logger.info("The state database answers again after %.1f s.", self._clock() - self.outage.since)
        self._answered_at = asked_at  # what the database grants runs out LEASE_S after that at the earliest
        self.outage = self._allowance.outage = None
        return answer

    async def _fail(self, error: Exception) -> None:
        if self.outage is None:
            logger.warning("Requests go on with the leases at hand, and usage is counted later: %s", error)
        before = self.outage or Outage(self._answered_at, str(error), 0)
        self.outage = outage = replace(before, reason=str(error))
        self._allowance.outage = str(error)
        if self._clock() - self._answered_at > _KEPT_S:
            self._allowance.forfeit()
        with suppress(OSError):  # of the journal, and maybe the reason of it all: what was counted last stands
            num_bytes = await asyncio.to_thread(self._ledger.waiting_bytes)
            self.outage = replace(outage, waiting_bytes=num_bytes)
