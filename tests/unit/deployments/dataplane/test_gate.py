"""Getting in, waiting and being turned away: no place is lost or given twice, whatever is cancelled when."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.dataplane.gate import Entrant, Gate
from deployments.identity.caller import Priority
from deployments.routing.fair_queue import QueueBounds
from deployments.routing.lane import LaneLimits
from models.errors import ModelUnavailableError, OverloadedError
from models.types import VersionId

M1 = VersionId("m", "1")
M2 = VersionId("m", "2")
FAR = 1e9


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def entrant(
    priority: Priority = Priority.INTERACTIVE, tenant: str = "a", deadline: float = FAR
) -> Entrant:  # fmt: skip
    return Entrant(priority, tenant, 1.0, deadline)


def make_gate(clock: Callable[[], float] | None = None, **limits: int) -> Gate:
    bounds = QueueBounds(limits.get("waiting", 100), limits.get("per_tenant", 100))
    return Gate(LaneLimits(bounds, batch_share=0.5, interactive_wait_s=60), clock or Clock())


def loads(gate: Gate) -> dict[VersionId, tuple[int, int, int]]:
    """Of each version: requests under way, requests waiting, and places."""
    return {
        version: (lane.num_under_way, lane.num_waiting, lane.capacity) for version, lane in gate._lanes.items()
    }


class Visit:
    """A request in a task of its own, which goes when it is told to."""

    def __init__(self, gate: Gate, capacity: int, who: Entrant | None = None, version: VersionId = M1) -> None:
        self.inside = asyncio.Event()
        self.go = asyncio.Event()
        self.queued_s: float | None = None
        self.task = asyncio.create_task(self._run(gate, capacity, who or entrant(), version))

    async def _run(self, gate: Gate, capacity: int, who: Entrant, version: VersionId) -> None:
        async with gate.enter(version, capacity, who) as self.queued_s:
            self.inside.set()
            await self.go.wait()

    async def end(self) -> None:
        self.go.set()
        await self.task


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@asynccontextmanager
async def full(gate: Gate, capacity: int = 1) -> AsyncIterator[list[Visit]]:
    """All places taken."""
    visits = [Visit(gate, capacity) for _ in range(capacity)]
    await settle()
    assert all(visit.inside.is_set() for visit in visits)
    yield visits
    for visit in visits:
        await visit.end()


async def served(gate: Gate, clock: Clock, seconds: float) -> None:
    """One request that took so long, for the gate to know."""
    async with gate.enter(M1, 1, entrant()):
        clock.now += seconds


async def test_no_more_are_under_way_than_there_are_places() -> None:
    clock = Clock()
    gate = make_gate(clock)
    async with full(gate, 2) as first:
        third = Visit(gate, 2)
        await settle()
        assert not third.inside.is_set()
        assert loads(gate) == {M1: (2, 1, 2)}
        clock.now = 3.0
        await first[0].end()
        await settle()
        assert (third.inside.is_set(), third.queued_s, first[0].queued_s) == (True, 3.0, 0.0)
        await third.end()
    assert loads(gate) == {M1: (0, 0, 2)}


async def test_versions_have_places_of_their_own() -> None:
    gate = make_gate()
    async with full(gate):
        other = Visit(gate, 1, version=M2)
        await settle()
        assert other.inside.is_set()
        await other.end()


async def test_interactive_requests_get_in_before_batch_ones() -> None:
    gate = make_gate()
    async with full(gate) as (first,):
        batch, interactive = Visit(gate, 1, entrant(Priority.BATCH)), Visit(gate, 1)
        await settle()
        await first.end()
        await settle()
        assert (batch.inside.is_set(), interactive.inside.is_set()) == (False, True)
        await interactive.end()
        await batch.end()


async def test_batch_leaves_places_to_interactive_requests() -> None:
    gate = make_gate()
    batch = [Visit(gate, 4, entrant(Priority.BATCH)) for _ in range(3)]
    await settle()
    assert [visit.inside.is_set() for visit in batch] == [True, True, False]
    interactive = Visit(gate, 4)
    await settle()
    assert interactive.inside.is_set()
    for visit in (*batch, interactive):
        await visit.end()


async def test_more_places_let_the_waiting_in() -> None:
    gate = make_gate()
    async with full(gate):
        waiting = [Visit(gate, 1) for _ in range(3)]
        await settle()
        gate.follow({M1: 3})
        await settle()
        assert [visit.inside.is_set() for visit in waiting] == [True, True, False]
        for visit in waiting:
            visit.go.set()
    await asyncio.gather(*(visit.task for visit in waiting))


async def test_who_waits_for_a_version_that_goes_down_is_told() -> None:
    gate = make_gate()
    async with full(gate):
        waiting = Visit(gate, 1)
        await settle()
        gate.follow({M2: 4})
        with pytest.raises(ModelUnavailableError, match="m@1 has no replica that is up"):
            await waiting.task
    gate.follow({})
    assert loads(gate) == {}
    with pytest.raises(ModelUnavailableError, match="m@1 has no replica that is up"):
        await Visit(gate, 0).task


async def test_a_full_queue_turns_the_newest_away_at_once() -> None:
    clock = Clock()
    gate = make_gate(clock, waiting=2)
    await served(gate, clock, 0.1)
    async with full(gate):
        waiting = [Visit(gate, 1) for _ in range(2)]
        await settle()
        with pytest.raises(OverloadedError, match="model m@1 has 2 requests waiting") as refused:
            await Visit(gate, 1).task
        assert refused.value.retry_after_s == pytest.approx(0.3)
        for visit in waiting:
            visit.go.set()
    await asyncio.gather(*(visit.task for visit in waiting))


async def test_a_batch_request_makes_room_in_a_full_queue() -> None:
    gate = make_gate(waiting=1)
    async with full(gate) as (first,):
        batch = Visit(gate, 1, entrant(Priority.BATCH))
        await settle()
        interactive = Visit(gate, 1)
        with pytest.raises(OverloadedError) as refused:
            await batch.task
        assert refused.value.retry_after_s == 1.0  # nothing has been served yet
        await first.end()
        await interactive.end()


async def test_who_would_wait_beyond_the_deadline_is_turned_away_at_once() -> None:
    clock = Clock()
    gate = make_gate(clock)
    await served(gate, clock, 2.0)
    async with full(gate):
        waiting = Visit(gate, 1, entrant(deadline=clock.now + 2.1))
        await settle()
        with pytest.raises(OverloadedError, match=r"would wait 4 s, longer than 3.5 s") as refused:
            await Visit(gate, 1, entrant(deadline=clock.now + 3.5)).task
        assert refused.value.retry_after_s == pytest.approx(0.5)
        waiting.go.set()
    await waiting.task


async def test_interactive_requests_are_not_kept_waiting_though_their_deadline_is_far() -> None:
    clock = Clock()
    gate = make_gate(clock)
    await served(gate, clock, 61.0)
    async with full(gate):
        with pytest.raises(OverloadedError, match="longer than 60 s"):
            await Visit(gate, 1).task
        patient = Visit(gate, 1, entrant(Priority.BATCH))
        await settle()
        patient.go.set()
    await patient.task


async def test_an_error_inside_gives_the_place_back() -> None:
    gate = make_gate()
    with pytest.raises(ZeroDivisionError):
        async with gate.enter(M1, 1, entrant()):
            raise ZeroDivisionError
    async with full(gate):
        pass


async def test_one_who_is_cancelled_as_it_is_let_in_gives_the_place_back() -> None:
    gate = make_gate()
    async with full(gate) as (first,):
        early, late, last = (Visit(gate, 1) for _ in range(3))
        await settle()
        early.task.cancel()  # before the place is given to it
        first.go.set()
        while early.inside.is_set() or not first.task.done():  # noqa: ASYNC110  step by step
            await asyncio.sleep(0)
        late.task.cancel()  # after, or while it goes on
        await asyncio.wait({early.task, late.task})
        await settle()
        assert last.inside.is_set()
        assert loads(gate) == {M1: (1, 0, 1)}
        await last.end()


class Storm:
    """Requests of all kinds, of which some are cancelled, fail or are displaced, while replicas come and go."""

    def __init__(self, chance: random.Random, capacity: int) -> None:
        self.gate = make_gate(time.monotonic, waiting=12, per_tenant=6)
        self._chance = chance
        self._capacity = capacity
        self._inside = 0

    async def blow(self, num_requests: int) -> list[BaseException | None]:
        """How each request ended."""
        tasks: list[asyncio.Task[None]] = []
        for _ in range(num_requests):
            tasks.append(asyncio.create_task(self._visit()))
            if self._chance.random() < 0.5:
                await asyncio.sleep(0)
            if self._chance.random() < 0.4:
                self._chance.choice(tasks).cancel()
            if self._chance.random() < 0.1:
                self.gate.follow({M1: self._chance.choice([0, 1, self._capacity])})
        return await asyncio.gather(*tasks, return_exceptions=True)

    async def _visit(self) -> None:
        who = entrant(self._chance.choice(list(Priority)), self._chance.choice("abc"))
        async with self.gate.enter(M1, self._capacity, who):
            self._inside += 1
            try:
                await self._stay()
            finally:
                self._inside -= 1

    async def _stay(self) -> None:
        assert self._inside <= self._capacity
        for _ in range(self._chance.randrange(4)):
            await asyncio.sleep(0)
        if self._chance.random() < 0.2:
            raise ZeroDivisionError


@given(seed=st.integers(0, 2**32), capacity=st.integers(1, 4), num_requests=st.integers(1, 40))
def test_no_place_is_lost_or_given_twice(seed: int, capacity: int, num_requests: int) -> None:
    storm = Storm(random.Random(seed), capacity)  # noqa: S311  a test
    endings = asyncio.run(storm.blow(num_requests))
    expected = (type(None), asyncio.CancelledError, ZeroDivisionError, ModelUnavailableError)
    assert [each for each in endings if not isinstance(each, expected)] == []
    assert all(load[:2] == (0, 0) for load in loads(storm.gate).values())
