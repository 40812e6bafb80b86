"""A router's link to a state database that comes late, changes, and goes away. On a real SQLite file."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from deployments import state_link
from deployments.audit.reader import Cursor, read_chunk
from deployments.audit.record import AdminRecord, Record
from deployments.audit.segments import list_segments
from deployments.audit.writer import JournalWriter
from deployments.limits.allowance import Allowance
from deployments.limits.amounts import Amounts
from deployments.limits.limit_set import LimitSet, Scope, ScopedLimits, ScopeKind
from deployments.limits.shortage import Shortage
from deployments.routing.rollout import RolloutAction, RolloutPlan
from deployments.routing.table import Weights
from deployments.state.admin_events import note_change
from deployments.state.api_key import KeyGrant
from deployments.state.database import Database
from deployments.state.keyring import Keyring
from deployments.state.keys import Keys
from deployments.state.rollouts import Rollouts
from deployments.state.schema import LEASES
from deployments.state.usage import read_usage
from deployments.state_link import Identity, StateLink
from models.errors import StateUnavailableError
from models.types import VersionId
from tests.unit.deployments.planes import eventually
from tests.unit.deployments.state.journals import NOW, request

ANN = KeyGrant(owner="ann")
ACME = ScopedLimits(Scope(ScopeKind.TENANT, "acme"), LimitSet(tokens_per_day=1000))


@dataclass
class Router:
    """Who goes by what the database says."""

    keyrings: list[Keyring] = field(default_factory=list)
    rollouts: Mapping[str, Weights] | None = None
    rollouts_before_keys: Mapping[str, Weights] | None = None

    def set_keys(self, keyring: Keyring) -> None:
        if not self.keyrings:
            self.rollouts_before_keys = self.rollouts
        self.keyrings.append(keyring)

    def set_rollouts(self, weights: Mapping[str, Weights]) -> None:
        self.rollouts = weights

    def is_up(self, version: VersionId) -> bool:
        return True

    @property
    def num_keys(self) -> int | None:
        return len(self.keyrings[-1]) if self.keyrings else None


@dataclass
class Office:
    """One router replica's link, its journal, and the database that it opens."""

    link: StateLink
    router: Router
    journal: JournalWriter
    allowance: Allowance
    folder: Path
    file: Path
    problems: list[Exception]
    is_closed: bool = False

    async def close(self) -> None:
        self.is_closed = True
        await self.link.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.link.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    @property
    def url(self) -> str:
        return f"sqlite:///{self.file}"

    def records(self) -> list[Record]:
        chunks = [read_chunk(self.folder, Cursor(each.file), 2**20) for each in list_segments(self.folder)]
        return [record for chunk in chunks for record in chunk.records]

    def changes(self) -> list[str]:
        return [record.action for record in self.records() if isinstance(record, AdminRecord)]

    def counted(self) -> int:
        with Database.open(self.url) as database, database.read() as connection:
            return sum(total.requests for total in read_usage(connection, []))


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_link, "_PERIOD_S", 0.02)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    problems: list[Exception] = []
    file, folder = tmp_path / "state.db", tmp_path / "audit"

    def open_database() -> Database:
        if problems:
            raise problems.pop(0)
        return Database.open(f"sqlite:///{file}")

    journal = JournalWriter(folder, "r1", lambda: datetime.fromtimestamp(NOW, UTC))
    allowance, router = Allowance(), Router()
    link = StateLink(open_database, Identity("r1", folder, lambda: NOW), journal, allowance, router)
    opened = Office(link, router, journal, allowance, folder, file, problems)
    yield opened
    if not opened.is_closed:
        journal.close()
    if link.database is not None:
        link.database.close()


def change(office: Office, act: Callable[[Keys], object]) -> None:
    with Database.open(office.url) as database:
        act(Keys(database))


async def test_the_keys_are_known_as_soon_as_the_database_is_open(office: Office) -> None:
    change(office, lambda keys: keys.create(ANN, "cli:ann"))
    assert office.router.num_keys is None
    async with office.running():
        await eventually(lambda: office.router.num_keys == 1)
    assert office.link.outage is None


async def test_where_requests_go_is_known_before_keys_let_them_in(office: Office) -> None:
    old, new = VersionId("m", "1"), VersionId("m", "2")
    with Database.open(office.url) as database:
        rollouts = Rollouts(database)
        rollouts.start("m", old, new, RolloutPlan(), "cli:ann")
        rollouts.act("m", RolloutAction.ABORT, "cli:ann")
    assert not office.link.tried.is_set()
    async with office.running():
        await office.link.tried.wait()
        assert office.router.rollouts_before_keys == {"m": {old: 100}}


async def test_nobody_waits_for_a_database_that_is_away(office: Office) -> None:
    office.problems += [StateUnavailableError("no server")] * 1000
    async with office.running():
        await asyncio.wait_for(office.link.tried.wait(), 5)
        assert office.link.outage is not None


async def test_a_new_key_is_heard_of_and_what_does_not_change_is_not_read_again(office: Office) -> None:
    async with office.running():
        await eventually(lambda: bool(office.link._seen))  # the first revisions were taken up
        num_read = len(office.router.keyrings)
        await asyncio.sleep(0.2)
        assert len(office.router.keyrings) == num_read
        change(office, lambda keys: keys.create(ANN, "cli:ann"))
        await eventually(lambda: office.router.num_keys == 1)


async def test_administrators_changes_are_in_the_journal_once(office: Office) -> None:
    async with office.running():
        change(office, lambda keys: keys.revoke(keys.create(ANN, "cli:ann").key.prefix, "cli:bob"))
        await eventually(lambda: any(isinstance(record, AdminRecord) for record in office.records()))
        await asyncio.sleep(0.1)
    told = [record for record in office.records() if isinstance(record, AdminRecord)]
    assert [(record.actor, record.action) for record in told] == [
        ("cli:ann", "key.create"),
        ("cli:bob", "key.revoke"),
    ]


async def test_however_many_changes_waited_all_are_in_the_journal(office: Office) -> None:
    with Database.open(office.url) as database, database.transaction() as connection:
        for number in range(250):
            note_change(connection, time=NOW, actor="a", action="key.create", subject=str(number), details={})
    async with office.running():
        await eventually(lambda: len(office.changes()) == 250)


async def test_keys_go_on_while_the_journal_cannot_be_written(office: Office) -> None:
    away = office.folder.with_name("away")
    async with office.running():
        await eventually(lambda: office.router.num_keys == 0)
        with office.journal._lock:  # it makes a folder anew that is gone
            office.folder.rename(away)
            office.folder.touch()
        await eventually(lambda: office.journal.trouble is not None)
        change(office, lambda keys: keys.create(ANN, "cli:ann"))
        await eventually(lambda: office.router.num_keys == 1)
        num_read = len(office.router.keyrings)
        await eventually(lambda: len(office.router.keyrings) > num_read + 3)  # it goes on trying
        assert office.journal.trouble is not None
        assert office.journal.trouble.num_waiting == 0
        with office.journal._lock:
            office.folder.unlink()
            away.rename(office.folder)
        await eventually(lambda: office.changes() == ["key.create"])


async def test_keys_are_known_at_the_start_though_the_journal_cannot_be_written(office: Office) -> None:
    change(office, lambda keys: keys.create(ANN, "cli:ann"))
    away = office.folder.rename(office.folder.with_name("away"))
    office.folder.touch()
    office.journal.tick()
    async with office.running():
        await eventually(lambda: office.link.database is not None)
        assert office.router.num_keys == 1
    with office.journal._lock:
        office.folder.unlink()
        away.rename(office.folder)


async def test_a_database_that_cannot_be_opened_is_tried_again_and_the_outage_is_seen(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    office.problems += [StateUnavailableError("no server at 5432")] * 5
    with caplog.at_level(logging.ERROR, "ray.serve"):
        async with office.running():
            await eventually(lambda: office.link.outage is not None)
            assert "no server at 5432" in str(office.link.outage)
            assert "no server at 5432" in str(office.allowance.outage)
            await eventually(lambda: office.router.num_keys == 0)
            await eventually(lambda: office.link.outage is None)
    assert office.allowance.outage is None
    assert [record.message.count("no server at 5432") for record in caplog.records] == [1]


async def test_limits_can_be_filled_before_the_database_is_open(office: Office) -> None:
    office.problems += [StateUnavailableError("no server")] * 1000
    async with office.running():
        await eventually(lambda: office.link.outage is not None)
        await office.link.refill()
        reservation = office.allowance.reserve([ACME], Amounts(tokens=10), NOW)
        assert not isinstance(reservation, Shortage)  # an outage lets requests pass, by default
        reservation.settle(Amounts(tokens=10))


async def test_usage_is_counted_and_leases_come_back_at_the_end(office: Office) -> None:
    async with office.running():
        await eventually(lambda: office.router.num_keys == 0)
        while isinstance(reservation := office.allowance.reserve([ACME], Amounts(tokens=100), NOW), Shortage):
            await office.link.refill()
        reservation.settle(Amounts(tokens=100))
        assert office.journal.append(request(100, charges=reservation.charges)) is None
    await office.close()
    assert office.counted() == 1
    with Database.open(office.url) as database, database.read() as connection:
        assert connection.execute(select(LEASES)).all() == []


async def test_what_was_used_while_the_database_was_away_is_counted_later(office: Office) -> None:
    async with office.running():
        await eventually(lambda: office.router.num_keys == 0)
        with closing(sqlite3.connect(office.file, isolation_level=None)) as blocker:
            blocker.execute("PRAGMA busy_timeout=5000")
            blocker.execute("BEGIN EXCLUSIVE")
            assert office.journal.append(request(100)) is None
            await asyncio.sleep(0.1)
        await eventually(lambda: office.counted() == 1)
