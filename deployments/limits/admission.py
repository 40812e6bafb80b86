"""Letting requests in: from the leases at hand, or after asking for more once they are used up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from deployments.limits.allowance import Allowance, Reservation
from deployments.limits.amounts import Amounts
from deployments.limits.limit_set import ScopedLimits
from deployments.limits.shortage import Shortage

# Requests that come meanwhile may take what was asked for this one, so that it has to ask again.
_MAX_REFILLS = 50


async def admit(
    allowance: Allowance,
    scoped: Sequence[ScopedLimits],
    asked: Amounts,
    clock: Callable[[], float],
    refill: Callable[[], Awaitable[None]],
) -> Reservation:
    """Reserve, or QuotaExceededError; StateUnavailableError in an outage in which nothing may be overdrawn.

    ``refill`` brings the allowance up to date with the state database. It is awaited only when a lease is too
    small and the database has not said before that there is no more. Requests that come together share one.
    """
    outcome = allowance.reserve(scoped, asked, clock())
    for _ in range(_MAX_REFILLS):
        if not isinstance(outcome, Shortage) or outcome.is_final or outcome.outage is not None:
            break
        await refill()
        outcome = allowance.reserve(scoped, asked, clock())
    if isinstance(outcome, Shortage):
        raise outcome.error()
    return outcome
