"""The books of one router replica: who may come in, what they may use, and a record of every call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from deployments.args import KeyPolicy
from deployments.audit.writer import JournalWriter
from deployments.dataplane.call import Call
from deployments.dataplane.door import Arrival, Ending
from deployments.dataplane.quotas import Spending
from deployments.identity.caller import ANONYMOUS, NOBODY, Caller
from deployments.limits.admission import admit
from deployments.limits.allowance import Allowance
from deployments.limits.amounts import NOTHING, Amounts, Price
from deployments.limits.limit_set import ScopedLimits
from deployments.record_of import record_of
from deployments.routing.policy import RouterPolicy
from deployments.scopes import Scopes
from deployments.state.keyring import Keyring
from models.errors import AuthenticationError, StateUnavailableError
from models.types import Usage


@dataclass(frozen=True, slots=True)
class Limiter:
    """What is left of the limits, and how to learn of more."""

    allowance: Allowance
    refill: Callable[[], Awaitable[None]]


class Books:
    """Door and quotas of the router replica with this name. All is in memory but the journal's lines.

    ``keys``: ``auto`` asks for a key once there is one, ``required`` always, ``off`` never. ``clock`` gives
    seconds since the epoch.
    """

    def __init__(
        self, replica: str, keys: KeyPolicy, journal: JournalWriter, limiter: Limiter, clock: Callable[[], float]
    ) -> None:
        self._replica = replica
        self._keys = keys
        self._journal = journal
        self._limiter = limiter
        self._clock = clock
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
        self._journal.append(record_of(call, ending, self._replica, now, self._clock()))

    @asynccontextmanager
    async def reserve(self, call: Call, model: str, at_most: Usage) -> AsyncIterator[Spending]:
        """As Quotas has it. Of the requests of one call the first counts, and takes a slot."""
        spending = Spending(call.tally)
        scoped, price = self._scopes.of(call.caller, model), self._scopes.price(model)
        is_first = call.tally.num_requests == 0
        call.tally.num_requests += 1
        if not scoped:
            try:
                yield spending
            finally:
                _note_cost(call, spending, price)
            return
        asked = _amounts(at_most, price, is_first=is_first)
        reservation = await admit(self._limiter.allowance, scoped, asked, self._clock, self._limiter.refill)
        self._tell(call, scoped)
        try:
            yield spending
        finally:
            _note_cost(call, spending, price)
            if spending.answered:
                call.tally.charges |= set(reservation.charges)
                reservation.settle(_amounts(spending.usage, price, is_first=is_first))
            else:
                reservation.settle(NOTHING)

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

    def _tell(self, call: Call, scoped: Sequence[ScopedLimits]) -> None:
        call.tally.rate_limits = self._limiter.allowance.status(scoped, self._clock()).headers()


def _amounts(usage: Usage, price: Price, *, is_first: bool) -> Amounts:
    amounts = Amounts.of(usage, price)
    return amounts if is_first else amounts._replace(requests=0, slots=0)


def _note_cost(call: Call, spending: Spending, price: Price) -> None:
    if spending.answered:
        call.tally.cost_nano += price.cost_nano(spending.usage)
