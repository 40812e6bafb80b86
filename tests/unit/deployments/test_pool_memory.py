"""A pool over its budget: what it closes, what it refuses, what it goes on with. With the real cache."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from deployments.args import MemoryPolicy
from deployments.engine_host import EngineHost
from deployments.pool.cache import CacheLimits, ModelCache
from deployments.pool.ledger import ByteLedger
from deployments.pool_memory import PoolMemory
from models.errors import EngineError
from models.memory.measured import MemoryReport, Planned, Reading
from models.memory.terms import MemoryTerm
from models.spec import Limits
from models.types import Task, VersionId

MIB = 1024**2
A, B, C = (VersionId(name, "1") for name in "abc")
RUNTIME_MIB, MODEL_MIB, BUDGET_MIB = 40, 20, 100


class Hosts:
    """Loads hosts without engines, and remembers which have gone."""

    def __init__(self) -> None:
        self.closed: list[str] = []

    def load(self, model: VersionId) -> EngineHost:
        return EngineHost(model, Task.EMBED, Limits())

    def unload(self, value: EngineHost) -> None:
        value.close()

    def hit(self, model: VersionId) -> None: ...

    def loaded(self, model: VersionId, seconds: float) -> None: ...

    def failed(self, model: VersionId) -> None: ...

    def evicted(self, model: VersionId) -> None:
        self.closed.append(model.name)


class Pool:
    """A replica whose process takes ``unplanned_mib`` more than is planned for what it hosts."""

    def __init__(self, policy: MemoryPolicy, pinned: frozenset[VersionId] = frozenset()) -> None:
        self.unplanned_mib = self.kept_mib = 0
        self.hosts = Hosts()
        self.reports: list[MemoryReport] = []
        self.ledger = ByteLedger(
            (BUDGET_MIB - RUNTIME_MIB) * MIB, dict.fromkeys((A, B, C), MODEL_MIB * MIB), pinned
        )
        limits = CacheLimits(num_loads=1, hold_s=10, num_users=8)
        self.cache = ModelCache(self.ledger, self.hosts, limits, self.hosts, lambda: 0.0)
        self.memory = PoolMemory(self.planned, policy, self, self.give_back, self.cache, self.reports.append)

    def planned(self) -> Planned:
        sizes = {"runtime": RUNTIME_MIB, "weights": MODEL_MIB * len(self.ledger.held)}
        terms = tuple(MemoryTerm(name, size * MIB, "", name == "weights") for name, size in sizes.items())
        return Planned("pool-small", terms, BUDGET_MIB * MIB)

    def give_back(self) -> None:
        self.unplanned_mib -= self.kept_mib
        self.kept_mib = 0

    def read(self) -> Reading:
        mapped_mib = MODEL_MIB * len(self.ledger.held)
        total = (RUNTIME_MIB + mapped_mib + self.unplanned_mib) * MIB
        return Reading(total, total, {"weights": mapped_mib * MIB})

    async def call(self, *models: VersionId) -> None:
        for model in models:
            async with self.cache.use(model):
                pass

    async def look(self) -> MemoryReport:
        return await asyncio.to_thread(self.memory.watch.look)


async def test_what_is_planned_follows_what_is_hosted() -> None:
    pool = Pool("warn")
    seen = []
    for model in (A, B):
        await pool.call(model)
        seen.append(await pool.look())
    assert [found.planned.total_bytes // MIB for found in seen] == [60, 80]
    assert [found.deviation for found in seen] == [0, 0]
    assert pool.reports == seen


async def test_what_closed_models_have_left_is_given_back_before_a_look() -> None:
    pool = Pool("shed")
    await pool.call(A, B)
    pool.unplanned_mib = pool.kept_mib = 50
    found = await pool.look()
    assert not found.state.over
    assert found.reading.total_bytes == 80 * MIB


async def test_warn_closes_and_refuses_nothing() -> None:
    pool = Pool("warn")
    await pool.call(A, B)
    pool.unplanned_mib = 50
    found = await pool.look()
    assert found.state.over
    assert found.compared[1].excess_bytes == 50 * MIB
    assert (pool.hosts.closed, pool.memory.admit(C)) == ([], None)
    pool.memory.watch.check()


async def test_shed_closes_what_was_not_used_for_longest_until_it_is_back() -> None:
    pool = Pool("shed")
    await pool.call(A, B, C, A)
    pool.unplanned_mib = 25
    assert (await pool.look()).state.over
    assert pool.hosts.closed == ["b", "c"]  # 25 MiB are to go
    assert not (await pool.look()).state.over
    assert pool.memory.admit(C) is None


async def test_while_it_sheds_loaded_models_answer_and_others_stay_out() -> None:
    pool = Pool("shed")
    await pool.call(A, B)
    pool.unplanned_mib = 30
    async with pool.cache.use(A), pool.cache.use(B):
        await pool.look()
    refusal = pool.memory.admit(C)
    assert refusal is not None
    assert "pool-small takes 110.0 MiB of memory, 10.0% over its budget of 100.0 MiB" in str(refusal)
    assert "(runtime: planned 40.0 MiB, measured 70.0 MiB)" in str(refusal)
    assert pool.memory.admit(A) is None
    assert pool.hosts.closed == []


@pytest.mark.parametrize("pinned", [frozenset[VersionId](), frozenset({A, B})], ids=["in use", "pinned"])
async def test_with_nothing_left_to_close_all_new_work_is_refused(pinned: frozenset[VersionId]) -> None:
    pool = Pool("shed", pinned)
    await pool.call(A, B)
    pool.unplanned_mib = 30
    async with AsyncExitStack() as busy:
        for model in {A, B} - pinned:
            await busy.enter_async_context(pool.cache.use(model))
        await pool.look()
        assert [pool.memory.admit(model) is None for model in (A, B, C)] == [False] * 3
    pool.unplanned_mib = 0
    await pool.look()
    assert [pool.memory.admit(model) for model in (A, B, C)] == [None] * 3


async def test_restart_fails_the_health_check_with_the_reason() -> None:
    pool = Pool("restart")
    await pool.call(A, B)
    await pool.look()
    pool.unplanned_mib = 30
    await pool.look()
    assert (pool.hosts.closed, pool.memory.admit(C)) == ([], None)
    with pytest.raises(EngineError, match=r"pool-small takes 110\.0 MiB"):
        pool.memory.watch.check()
