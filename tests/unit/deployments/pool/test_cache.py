"""The cache of a pool, with loads that the test lets go one by one."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace

import pytest

from deployments.pool.cache import CacheLimits, ModelCache
from deployments.pool.ledger import ByteLedger
from models.errors import ModelUnavailableError, OverloadedError
from models.types import VersionId

MIB = 1024**2
A, B, C, BIG = (VersionId(name, "1") for name in ("a", "b", "c", "big"))
SIZES = {A: 10 * MIB, B: 10 * MIB, C: 10 * MIB, BIG: 20 * MIB}
PATIENT_S = 20.0


@dataclass
class Engine:
    """A loaded model."""

    model: VersionId
    is_broken: bool = False


class Loader:
    """Loads at once, except those models that ``hold`` names: they wait for ``let_go``."""

    def __init__(self, *hold: VersionId) -> None:
        self._gates = {model: threading.Event() for model in hold}
        self.began: dict[VersionId, threading.Event] = {model: threading.Event() for model in SIZES}
        self.errors: dict[VersionId, Exception] = {}
        self.closed: list[VersionId] = []

    def load(self, model: VersionId) -> Engine:
        self.began[model].set()
        if model in self._gates:
            assert self._gates[model].wait(PATIENT_S)
        if model in self.errors:
            raise self.errors[model]
        return Engine(model)

    def unload(self, value: Engine) -> None:
        self.closed.append(value.model)

    def let_go(self, model: VersionId) -> None:
        self._gates[model].set()


@dataclass
class Watcher:
    events: Counter[tuple[str, VersionId]] = field(default_factory=Counter)

    def hit(self, model: VersionId) -> None:
        self.events["hit", model] += 1

    def loaded(self, model: VersionId, seconds: float) -> None:
        assert seconds >= 0
        self.events["loaded", model] += 1

    def failed(self, model: VersionId) -> None:
        self.events["failed", model] += 1

    def evicted(self, model: VersionId) -> None:
        self.events["evicted", model] += 1


@dataclass
class Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


class Fixture:
    """A cache of 20 MiB: two small models, or the big one."""

    def __init__(
        self,
        *hold: VersionId,
        num_loads: int = 2,
        hold_s: float = PATIENT_S,
        num_users: int = 8,
        pinned: frozenset[VersionId] = frozenset(),
    ) -> None:
        self.loader, self.watcher, self.clock = Loader(*hold), Watcher(), Clock()
        self.ledger = ByteLedger(20 * MIB, SIZES, pinned)
        limits = CacheLimits(num_loads, hold_s, num_users)
        self.cache = ModelCache(self.ledger, self.loader, limits, self.watcher, self.clock)

    async def call(self, model: VersionId) -> VersionId:
        async with self.cache.use(model) as engine:
            return engine.model

    async def wait_for_load(self, model: VersionId) -> None:
        assert await asyncio.to_thread(self.loader.began[model].wait, PATIENT_S)


async def test_requests_of_a_model_share_one_load_and_later_ones_find_it() -> None:
    pool = Fixture()
    assert await asyncio.gather(*(pool.call(A) for _ in range(3))) == [A, A, A]
    assert await pool.call(A) == A
    assert pool.watcher.events == {("loaded", A): 1, ("hit", A): 1}


async def test_a_load_blocks_no_warm_model_and_no_other_load() -> None:
    pool = Fixture(B)
    await pool.call(A)
    cold = asyncio.create_task(pool.call(B))
    await pool.wait_for_load(B)
    assert await asyncio.wait_for(pool.call(A), 5) == A
    assert await asyncio.wait_for(pool.call(C), 5) == C
    assert not cold.done()
    pool.loader.let_go(B)
    assert await cold == B


async def test_no_more_loads_at_once_than_allowed() -> None:
    pool = Fixture(A, B, num_loads=1)
    first, second = (asyncio.create_task(pool.call(model)) for model in (A, B))
    await pool.wait_for_load(A)
    assert pool.cache.loading == (A,)
    assert not pool.loader.began[B].is_set()
    pool.loader.let_go(A)
    pool.loader.let_go(B)
    assert [await first, await second] == [A, B]


async def test_the_least_recently_used_is_closed_for_the_next() -> None:
    pool = Fixture()
    for model in (A, B, A, C):
        await pool.call(model)
    assert pool.loader.closed == [B]
    assert pool.ledger.resident == (A, C)


async def test_one_in_use_is_never_closed_and_the_one_that_waits_comes_when_it_ends() -> None:
    pool = Fixture()
    async with pool.cache.use(A):
        waiting = asyncio.create_task(pool.call(BIG))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        assert pool.loader.closed == []
    assert await asyncio.wait_for(waiting, 5) == BIG
    assert pool.loader.closed == [A]


async def test_a_pinned_one_is_never_closed() -> None:
    pool = Fixture(pinned=frozenset({A}))
    for model in (A, B, C, B, C):
        await pool.call(model)
    assert A not in pool.loader.closed


async def test_one_that_finds_no_room_in_time_is_told_how_much_is_missing() -> None:
    pool = Fixture()
    patient = pool.cache._limits
    async with AsyncExitStack() as busy:
        for model in (A, B):
            await busy.enter_async_context(pool.cache.use(model))
        pool.cache._limits = replace(patient, hold_s=0.01)
        with pytest.raises(ModelUnavailableError) as refused:
            await pool.call(C)
    pool.cache._limits = patient
    assert str(refused.value) == (
        "model c@1 is not there after 0.01 s: loading 10.0 MiB, 10.0 MiB to free, which models in use hold"
    )
    assert refused.value.retry_after_s == 5
    assert await pool.call(C) == C


async def test_one_whose_load_takes_too_long_is_told_so_and_the_load_goes_on() -> None:
    pool = Fixture(A, hold_s=0.3)
    with pytest.raises(ModelUnavailableError, match=r"loading 10\.0 MiB since 0\.0 s"):
        await pool.call(A)
    pool.loader.let_go(A)
    assert await pool.call(A) == A
    assert pool.watcher.events["loaded", A] == 1


async def test_one_behind_other_loads_is_told_so() -> None:
    pool = Fixture(A, num_loads=1, hold_s=0.01)
    first = asyncio.create_task(pool.call(A))
    await pool.wait_for_load(A)
    with pytest.raises(ModelUnavailableError, match="behind 1 other loads"):
        await pool.call(B)
    with pytest.raises(ModelUnavailableError):
        await first
    pool.loader.let_go(A)


async def test_a_load_that_nobody_waits_for_any_more_is_not_begun() -> None:
    pool = Fixture()
    async with pool.cache.use(A):
        caller = asyncio.create_task(pool.call(BIG))
        await asyncio.sleep(0.01)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
    await asyncio.sleep(0.01)
    assert pool.loader.closed == []
    assert not pool.loader.began[BIG].is_set()


async def test_a_failed_load_is_the_answer_and_is_not_tried_again_at_once() -> None:
    pool = Fixture()
    await pool.call(B)
    pool.loader.errors[A] = OSError("no such file")
    for _ in range(2):
        with pytest.raises(ModelUnavailableError, match="a@1 cannot be loaded: no such file") as refused:
            await pool.call(A)
    assert refused.value.retry_after_s == 30
    assert pool.watcher.events["failed", A] == 1
    assert pool.ledger.taken_bytes == 10 * MIB
    del pool.loader.errors[A]
    pool.clock.now_s = 31
    assert await pool.call(A) == A


async def test_more_requests_of_one_model_than_allowed_are_refused_and_others_are_not() -> None:
    pool = Fixture(A, num_users=2)
    waiting = [asyncio.create_task(pool.call(A)) for _ in range(2)]
    await pool.wait_for_load(A)
    with pytest.raises(OverloadedError, match="2 requests of model a@1"):
        await pool.call(A)
    assert await pool.call(B) == B
    pool.loader.let_go(A)
    assert await asyncio.gather(*waiting) == [A, A]
    assert await pool.call(A) == A


async def test_a_broken_model_is_closed_and_loaded_anew() -> None:
    pool = Fixture()
    async with pool.cache.use(A) as engine:
        engine.is_broken = True
        await pool.cache.drop_broken(lambda each: each.is_broken)
        assert pool.loader.closed == []
    await pool.cache.drop_broken(lambda each: each.is_broken)
    assert pool.loader.closed == [A]
    assert pool.ledger.taken_bytes == 0
    async with pool.cache.use(A) as engine:
        assert not engine.is_broken


async def test_one_that_is_being_closed_is_loaded_again_only_after_that() -> None:
    pool = Fixture()
    await pool.call(A)
    await pool.call(B)
    assert list(await asyncio.gather(pool.call(BIG), pool.call(A))) == [BIG, A]
    assert pool.loader.closed == [A, B, BIG]


async def test_idle_ones_are_closed_by_their_bytes_and_no_more() -> None:
    pool = Fixture()
    await pool.call(A)
    await pool.call(B)
    await pool.cache.close_idle(1)
    assert (pool.loader.closed, pool.ledger.taken_bytes) == ([A], 10 * MIB)
    assert (pool.cache.is_loaded(A), pool.cache.is_loaded(B)) == (False, True)
    assert pool.watcher.events["evicted", A] == 1


async def test_what_is_in_use_or_pinned_stays_however_much_is_to_go() -> None:
    pool = Fixture(pinned=frozenset({B}))
    await pool.call(B)
    async with pool.cache.use(A):
        assert not pool.cache.can_close
        await pool.cache.close_idle(100 * MIB)
    assert pool.loader.closed == []
    assert pool.cache.can_close
