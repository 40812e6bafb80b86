"""What administrators do is in the journal once, and in the state database while that answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from deployments.audit.reader import Cursor, read_chunk
from deployments.audit.record import AdminRecord
from deployments.audit.segments import list_segments
from deployments.audit.writer import JournalWriter
from deployments.chronicle import JournalledChronicle
from deployments.state.admin_events import note_change
from deployments.state.database import Database
from deployments.state.schema import ADMIN_EVENTS
from models.errors import StateUnavailableError

NOW = 1_700_000_000.1234567


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[JournalWriter]:
    writer = JournalWriter(tmp_path, "router-1", lambda: datetime.fromtimestamp(NOW, UTC))
    yield writer
    writer.close()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database.open(f"sqlite:///{tmp_path}/state.db") as opened:
        yield opened


def journalled(folder: Path) -> list[AdminRecord]:
    (segment,) = list_segments(folder)
    chunk = read_chunk(folder, Cursor(segment.file))
    assert chunk.damage is None
    return [record for record in chunk.records if isinstance(record, AdminRecord)]


def stored(database: Database) -> list[tuple[str, bool]]:
    """The subjects of all events, and whether each is in a journal."""
    with database.read() as connection:
        rows = connection.execute(select(ADMIN_EVENTS).order_by(ADMIN_EVENTS.c.id))
        return [(row.subject, row.exported_at is not None) for row in rows]


async def test_a_change_is_in_both_and_takes_along_what_waited(
    tmp_path: Path, journal: JournalWriter, database: Database
) -> None:
    with database.transaction() as connection:
        note_change(connection, time=1.0, actor="cli:bob", action="key.create", subject="sk-1", details={})
    chronicle = JournalledChronicle(journal, lambda: database, lambda: NOW)
    await chronicle.note("sk-ann", "model.load", "m@2", {"force": False})
    assert stored(database) == [("sk-1", True), ("m@2", True)]
    earlier, record = journalled(tmp_path)
    assert (earlier.subject, record.actor, record.action, record.subject, record.details) == (
        "sk-1", "sk-ann", "model.load", "m@2", {"force": False},
    )  # fmt: skip


async def test_however_many_waited(tmp_path: Path, journal: JournalWriter, database: Database) -> None:
    with database.transaction() as connection:
        for number in range(250):
            note_change(connection, time=1.0, actor="a", action="key.create", subject=str(number), details={})
    await JournalledChronicle(journal, lambda: database, lambda: NOW).note("a", "model.load", "m@2", {})
    assert [record.subject for record in journalled(tmp_path)] == [*map(str, range(250)), "m@2"]


@pytest.mark.parametrize("opened", [True, False])
async def test_without_the_database_it_is_in_the_journal_alone(
    tmp_path: Path, journal: JournalWriter, database: Database, opened: bool
) -> None:
    with database.transaction() as connection:
        ADMIN_EVENTS.drop(connection)
    chronicle = JournalledChronicle(journal, lambda: database if opened else None, lambda: NOW)
    await chronicle.note("sk-ann", "model.unload", "m@2", {})
    assert [record.subject for record in journalled(tmp_path)] == ["m@2"]


class Unsure(Database):
    """Loses its connection while it commits."""

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        with super().transaction() as connection:
            yield connection
            raise StateUnavailableError("the connection is gone")


async def test_a_commit_that_fails_does_not_write_it_twice(tmp_path: Path, journal: JournalWriter) -> None:
    with Unsure.open(f"sqlite:///{tmp_path}/state.db") as database:
        await JournalledChronicle(journal, lambda: database, lambda: NOW).note("a", "model.load", "m@2", {})
        assert stored(database) == []
    assert [record.subject for record in journalled(tmp_path)] == ["m@2"]
