from __future__ import annotations

import asyncio

import pytest

from deployments.limits.admission import admit
from deployments.limits.allowance import Allowance, Reservation
from deployments.limits.amounts import Amounts
from deployments.limits.limit_set import LimitSet, Scope, ScopedLimits, ScopeKind
from models.errors import QuotaExceededError, StateUnavailableError
from tests.unit.deployments.limits.state import Book

NOW = 1_800_000_000.0


class Door:
    """One replica's allowance over a book, and how requests come to it."""

    def __init__(self, limits: LimitSet, policy: str = "allow") -> None:
        self.allowance = Allowance("allow" if policy == "allow" else "deny")
        self.book = Book()
        self.scoped = [ScopedLimits(Scope(ScopeKind.KEY, "k"), limits)]

    async def refill(self) -> None:
        await asyncio.sleep(0)
        self.book.tick("a", self.allowance, NOW)

    async def admit(self, asked: Amounts) -> Reservation:
        return await admit(self.allowance, self.scoped, asked, lambda: NOW, self.refill)


async def test_the_first_request_asks_for_a_lease_once_for_all_its_limits() -> None:
    door = Door(LimitSet(requests_per_minute=10, tokens_per_day=1000, concurrent_requests=2))
    await door.admit(Amounts(tokens=100))
    assert door.book.num_ticks == 1


async def test_many_requests_at_once_are_all_let_in() -> None:
    door = Door(LimitSet(tokens_per_day=10_000))
    await asyncio.gather(*(door.admit(Amounts(tokens=100)) for _ in range(100)))
    with pytest.raises(QuotaExceededError):
        await door.admit(Amounts(tokens=100))


async def test_a_request_whose_lease_others_take_asks_again_until_it_has_one() -> None:
    door = Door(LimitSet(requests_per_minute=10_000))

    async def refill() -> None:
        await door.refill()
        if door.book.num_ticks < 10:
            while isinstance(door.allowance.reserve(door.scoped, Amounts(requests=1), NOW), Reservation):
                pass

    await admit(door.allowance, door.scoped, Amounts(requests=1), lambda: NOW, refill)
    assert door.book.num_ticks == 10


async def test_nobody_is_asked_in_an_outage() -> None:
    door = Door(LimitSet(tokens_per_day=1000), "deny")
    door.allowance.outage = "no answer"
    with pytest.raises(StateUnavailableError, match="no answer"):
        await door.admit(Amounts(tokens=1))
    assert door.book.num_ticks == 0
