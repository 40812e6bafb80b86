"""The books of one router replica: who may come in, what they may use, and a record of every call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from deployments.args import KeyPolicy
from deployments.audit.writer import JournalWriter
from deployments.dataplane.call import Call, Tally
from deployments.dataplane.door import Arrival, Condition, Ending, Trouble
from deployments.dataplane.observer import UNOBSERVED, Observer
from deployments.dataplane.quotas import Spending
from deployments.identity.caller import ANONYMOUS, NOBODY, Caller
from deployments.limits.admission import admit
from deployments.limits.allowance import Allowance, Reservation
from deployments.limits.amounts import NOTHING, Amounts, Price, Unit
from deployments.limits.limit_set import ScopedLimits
from deployments.record_of import record_of
from deployments.routing.policy import RouterPolicy
from deployments.scopes import Scopes
from deployments.state.bookkeeper import Outage
from deployments.state.keyring import Keyring
from deployments.tracing import describe
from models.errors import AuthenticationError, StateUnavailableError
from models.types import Usage


@dataclass(frozen=True, slots=True)
class Limiter:
    """What is left of the limits, how to learn of more, and why that cannot be done now."""

    allowance: Allowance
    refill: Callable[[], Awaitable[None]]
    outage: Callable[[], Outage | None]


class Books:
    """Door and quotas of the router replica with this name. All is in memory but the journal's lines.

    ``keys``: ``auto`` asks for a key once there is one, ``required`` always, ``off`` never. ``clock`` gives
    seconds since the epoch.
    """

    def __init__(
        self,
        replica: str,
        keys: KeyPolicy,
        journal: JournalWriter,
        limiter: Limiter,
        clock: Callable[[], float],
        observer: Observer = UNOBSERVED,
    ) -> None:
        self._replica = replica
        self._keys = keys
        self._journal = journal
        self._limiter = limiter
        self._clock = clock
        self._observer = observer
        self._policy = RouterPolicy()
        self._keyring: Keyring | None = None
        self._scopes = Scopes(self._policy, None)

    def set_policy(self, policy: RouterPolicy) -> None:
        """Limits and prices from now on."""
        self._policy = policy
        self._scopes = Scopes(policy, self._keyring)

    def set_keys(self, keyring: Keyring) -> None:
        """The keys from now on."""
        self._keyring = keyring
        self._scopes = Scopes(self._policy, keyring)

    @property
    def asks_for_keys(self) -> bool | None:
        """None while that is not known, because the state database has not answered yet."""
        if self._keys != "auto":
            return self._keys == "required"
        return None if self._keyring is None else len(self._keyring) > 0

    def enter(self, arrival: Arrival) -> Call:
        caller = self._identify(arrival.key)
        call = Call.start(arrival.request_id, arrival.timeout_s, caller, arrival.attributes)
        call.tally.protocol = arrival.protocol
        call.tally.operation = arrival.operation
        return call

    def reject(self, arrival: Arrival, ending: Ending) -> None:
        call = Call.start(arrival.request_id, arrival.timeout_s, NOBODY, arrival.attributes)
        call.tally.protocol = arrival.protocol
        call.tally.operation = arrival.operation
        self.leave(call, ending)

    def leave(self, call: Call, ending: Ending) -> None:
        now = asyncio.get_running_loop().time()
        record = record_of(call, ending, self._replica, now, self._clock())
        self._journal.append(record)
        describe(record)
        self._observer.left(call, ending, now)

    def condition(self) -> Condition:
        outage, trouble = self._limiter.outage(), self._journal.trouble
        return Condition(
            state=Trouble(outage.since, outage.reason) if outage else None,
            journal=Trouble(trouble.since.timestamp(), trouble.reason) if trouble else None,
            uncounted_bytes=outage.waiting_bytes if outage else 0,
            num_unwritten=trouble.num_waiting if trouble else 0,
            num_lost=self._journal.num_lost,
        )

    @asynccontextmanager
    async def reserve(self, call: Call, model: str, at_most: Usage) -> AsyncIterator[Spending]:
        """As Quotas has it. All that one call asks models for is one request, and holds one slot."""
        spending = Spending(call.tally)
        scoped, price = self._scopes.of(call.caller, model), self._scopes.price(model)
        if not scoped:
            try:
                yield spending
            finally:
                _charge(spending, price)
            return
        with _under_way(call.tally) as asked:
            reservation = await self._admit(call, scoped, asked.with_usage(at_most, price))
            if asked.slots:
                call.tally.slot = reservation.part(Unit.SLOTS)
            try:
                yield spending
            finally:
                reservation.settle(_charge(spending, price))
                if spending.answered:
                    call.tally.charges |= set(reservation.charges)

    def _identify(self, key: str | None) -> Caller:
        asks = self.asks_for_keys
        if asks is False:
            return ANONYMOUS
        if self._keyring is None:
            raise StateUnavailableError(
                "the router has not been able to read the API keys yet", remedy="try again in a few seconds"
            )
        if not key:
            raise AuthenticationError(
                "an API key is needed", remedy="send it as Authorization: Bearer KEY, or as x-api-key"
            )
        return self._keyring.identify(key, self._clock())

    async def _admit(self, call: Call, scoped: Sequence[ScopedLimits], most: Amounts) -> Reservation:
        """Whether it is let in or not, its caller hears what is left."""
        limiter = self._limiter
        try:
            return await admit(limiter.allowance, scoped, most, self._clock, limiter.refill)
        finally:
            call.tally.rate_limits = limiter.allowance.status(scoped, self._clock()).headers()


@contextmanager
def _under_way(tally: Tally) -> Iterator[Amounts]:
    """The request and the slot to reserve for one of the requests to models that a call makes.

    The first of those under way reserves the slot, and the request unless one has been charged. The last one gives
    the slot back.
    """
    is_first = tally.num_under_way == 0
    tally.num_under_way += 1
    try:
        yield Amounts(requests=int(is_first and not tally.is_charged), slots=int(is_first))
    finally:
        tally.num_under_way -= 1
        if tally.num_under_way == 0 and tally.slot is not None:
            tally.slot.settle(NOTHING)
            tally.slot = None


def _charge(spending: Spending, price: Price) -> Amounts:
    """What was used. The first answer is charged for the call's request, whichever of its requests reserved it."""
    if not spending.answered:
        return NOTHING
    tally = spending.tally
    used = Amounts(requests=int(not tally.is_charged), slots=0).with_usage(spending.usage, price)
    tally.is_charged = True
    tally.cost_nano += used.cost_nano
    return used
