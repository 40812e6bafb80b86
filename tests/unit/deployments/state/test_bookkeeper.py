from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from deployments.limits.admission import admit
from deployments.limits.allowance import Allowance
from deployments.limits.amounts import Amounts
from deployments.limits.limit_set import LimitSet, Scope, ScopedLimits, ScopeKind
from deployments.limits.sizing import Order
from deployments.state.bookkeeper import Bookkeeper
from deployments.state.database import Database
from deployments.state.ledger import Answer, Ledger
from deployments.state.schema import COUNTERS, LEASES
from models.errors import QuotaExceededError
from tests.unit.deployments.state.journals import open_journal, request

SCOPED = [ScopedLimits(Scope(ScopeKind.KEY, "ab12cd34"), LimitSet(tokens_per_day=1000))]
PATIENCE_S = 0.2


class Counted(Database):
    num_transactions = 0

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        self.num_transactions += 1
        with super().transaction() as connection:
            yield connection


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def database(state: Path) -> Iterator[Counted]:
    with Counted.open(f"sqlite:///{state}", timeout_s=PATIENCE_S) as opened:
        yield opened


class Replica:
    """What a router replica has of limits, without a router. Its clock can be moved."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.skipped_s = 0.0
        self.allowance = Allowance()
        self.journal = open_journal(folder)
        self.books = Bookkeeper(Ledger(database, folder, "r1", self.now), self.allowance, self.now, period_s=0.05)

    def now(self) -> float:
        return time.time() + self.skipped_s

    async def serve(self, asked: int, used: int) -> None:
        """One request, from its reservation to its record."""
        reservation = await admit(self.allowance, SCOPED, Amounts(tokens=asked), self.now, self.books.refill)
        reservation.settle(Amounts(tokens=used))
        self.journal.append(request(used, charges=reservation.charges))


@pytest.fixture
def replica(database: Database, tmp_path: Path) -> Replica:
    return Replica(database, tmp_path / "journal")


@asynccontextmanager
async def running(books: Bookkeeper) -> AsyncIterator[None]:
    task = asyncio.create_task(books.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it has not come about within 10 s")


def locked(state: Path) -> closing[sqlite3.Connection]:
    """Nobody else can write while it is open."""
    connection = sqlite3.connect(state, isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN IMMEDIATE")
    return closing(connection)


def spent(database: Database) -> int:
    with database.read() as connection:
        return sum(connection.execute(select(COUNTERS.c.spent)).scalars())


async def test_requests_spend_what_the_database_then_counts(replica: Replica, database: Counted) -> None:
    for _ in range(5):
        await replica.serve(200, 150)
    await replica.serve(1000, 250)
    with pytest.raises(QuotaExceededError):
        await replica.serve(1, 1)
    await replica.books.refill()
    assert spent(database) == 1000


async def test_those_who_ask_together_share_a_tick(replica: Replica, database: Counted) -> None:
    await asyncio.gather(*(replica.books.refill() for _ in range(50)))
    assert database.num_transactions == 1


async def test_who_gives_up_waiting_does_not_stop_the_tick(replica: Replica, database: Counted) -> None:
    await replica.serve(100, 70)
    waiting = asyncio.create_task(replica.books.refill())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    await replica.books.refill()
    assert spent(database) == 70
    assert replica.allowance.orders(replica.now())[0].held == replica.allowance.orders(replica.now())[0].free


async def test_a_steady_load_costs_one_transaction_for_each_period(replica: Replica, database: Counted) -> None:
    async with running(replica.books):
        for _ in range(20):
            await replica.serve(5, 5)
        await asyncio.sleep(0.2)
        before, begun = database.num_transactions, time.monotonic()
        while time.monotonic() < begun + 1.0:
            await replica.serve(2, 1)
            await asyncio.sleep(0.005)
    assert database.num_transactions - before <= 1.0 / 0.05 + 1


async def test_an_outage_is_seen_lived_through_and_made_up_for(
    replica: Replica, database: Counted, state: Path
) -> None:
    async with running(replica.books):
        await replica.serve(10, 10)
        with locked(state):
            await until(lambda: replica.books.outage is not None)
            for _ in range(30):
                with pytest.raises(StopIteration):  # it ends without waiting for anything
                    replica.serve(100, 100).send(None)
            await until(lambda: replica.books.outage is not None and replica.books.outage.waiting_bytes > 30 * 100)
        await until(lambda: replica.books.outage is None)
        await replica.books.refill()
        assert spent(database) == 3010
        with pytest.raises(QuotaExceededError):
            await replica.serve(1, 1)


async def test_a_lease_ends_with_the_time_that_it_was_given_for(replica: Replica, state: Path) -> None:
    await replica.serve(10, 10)
    await replica.books.refill()
    with locked(state):
        await replica.books.refill()
        (order,) = replica.allowance.orders(replica.now())
        assert order.free > 0
        replica.skipped_s = 15  # the database gives it to others after 20
        await replica.serve(5, 5)
        await replica.books.refill()
        (order,) = replica.allowance.orders(replica.now())
        assert order.free == 0


async def test_a_journal_that_cannot_be_read_is_an_outage_too(replica: Replica, tmp_path: Path) -> None:
    await replica.serve(10, 10)
    broken = tmp_path / "journal" / "r1.00000009.jsonl"
    broken.symlink_to(broken)
    await replica.books.refill()
    assert "symbolic links" in str(replica.books.outage)
    assert "symbolic links" in str(replica.allowance.outage)
    broken.unlink()
    await replica.books.refill()
    assert (replica.books.outage, replica.allowance.outage) == (None, None)


async def test_who_closes_leaves_nothing_behind(replica: Replica, database: Counted) -> None:
    await replica.serve(100, 70)
    await replica.books.close()
    with database.read() as connection:
        assert connection.execute(select(LEASES)).all() == []
    assert spent(database) == 70


async def test_what_a_dead_replica_left_is_counted_soon(
    replica: Replica, database: Counted, tmp_path: Path
) -> None:
    dead = open_journal(tmp_path / "journal", "r0")
    dead.append(request(40, replica="r0"))
    dead.close()
    async with running(replica.books):
        await until(lambda: spent(database) == 40 + 400)  # tokens, and money


class Watched(Ledger):
    """Notes what it is asked to do."""

    def __init__(self, database: Database, folder: Path) -> None:
        super().__init__(database, folder, "r1", time.time)
        self.steps: list[str] = []
        self.has_more = True

    def settle(self, orders: Sequence[Order]) -> Answer:
        self.steps.append("settle")
        return super().settle(orders)

    def tend(self) -> bool:
        self.steps.append("tend")
        self.has_more = super().tend()
        return self.has_more


async def test_requests_get_their_ticks_while_a_long_journal_is_counted(database: Counted, tmp_path: Path) -> None:
    dead = open_journal(tmp_path / "journal", "r0")
    for _ in range(2000):
        dead.append(request(1, replica="r0"))
    dead.close()
    ledger = Watched(database, tmp_path / "journal")
    async with running(Bookkeeper(ledger, Allowance(), time.time, period_s=60)):
        await until(lambda: not ledger.has_more)
        assert spent(database) == 2000 * (1 + 10)
    assert len(ledger.steps) >= 4
    assert ledger.steps == ["settle", "tend"] * (len(ledger.steps) // 2)
