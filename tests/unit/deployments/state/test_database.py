"""On SQLite; tests/integration/test_state_database.py has what needs several processes or a PostgreSQL server."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select, text, update

from deployments.state.database import Database
from deployments.state.schema import ADMIN_EVENTS, REVISIONS
from models.errors import StateError, StateUnavailableError

EVENT = {"time": 1.0, "actor": "a", "action": "b", "subject": "c", "details": {}}


def count_events(database: Database) -> int:
    with database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(ADMIN_EVENTS)).scalar_one())


def test_nobody_else_can_read_the_file(database: Database, tmp_path: Path) -> None:
    with database.transaction() as connection:
        connection.execute(insert(ADMIN_EVENTS).values(EVENT))
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "new").iterdir()}
    assert modes == dict.fromkeys(("state.db", "state.db-wal", "state.db-shm", "state.db.lock"), 0o600)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_what_was_written_is_there_after_opening_again(url: str) -> None:
    for expected in (0, 1):
        with Database.open(url) as database:
            assert count_events(database) == expected
            with database.transaction() as connection:
                connection.execute(insert(ADMIN_EVENTS).values(EVENT))


def test_a_transaction_that_raises_changes_nothing(database: Database) -> None:
    def fail() -> None:
        with database.transaction() as connection:
            connection.execute(insert(ADMIN_EVENTS).values(EVENT))
            raise KeyError("theirs")

    with pytest.raises(KeyError, match="theirs"):
        fail()
    assert count_events(database) == 0


def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(StateError, match="readonly"), database.read() as connection:
        connection.execute(insert(ADMIN_EVENTS).values(EVENT))


def test_a_reader_sees_one_moment_while_others_write(database: Database) -> None:
    with database.read() as reader:
        before = reader.execute(select(REVISIONS.c.revision)).scalars().all()
        with database.transaction() as writer:
            writer.execute(update(REVISIONS).values(revision=9))
        assert reader.execute(select(REVISIONS.c.revision)).scalars().all() == before


def test_threads_that_read_before_they_write_lose_nothing(database: Database) -> None:
    def add() -> None:
        for _ in range(20):
            with database.transaction() as connection:
                (found,) = connection.execute(
                    select(REVISIONS.c.revision).where(REVISIONS.c.topic == "keys")
                ).one()
                connection.execute(update(REVISIONS).where(REVISIONS.c.topic == "keys").values(revision=found + 1))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as connection:
        found = connection.execute(select(REVISIONS.c.revision).where(REVISIONS.c.topic == "keys")).scalar_one()
    assert found == 80


def test_a_writer_that_waits_too_long_sees_an_outage(url: str, database: Database) -> None:
    with Database.open(url, timeout_s=0.05) as hasty, database.transaction():  # noqa: SIM117
        with pytest.raises(StateUnavailableError, match="locked"), hasty.transaction():
            pass


def test_wrong_sql_is_no_outage(database: Database) -> None:
    with pytest.raises(StateError, match="no such table") as caught, database.read() as connection:
        connection.execute(text("SELECT * FROM nowhere"))
    assert not isinstance(caught.value, StateUnavailableError)


def test_an_error_does_not_show_what_was_written(database: Database) -> None:
    with pytest.raises(StateError, match="UNIQUE constraint") as caught, database.transaction() as connection:
        connection.execute(insert(REVISIONS).values(topic="keys", revision=987654))
    assert "987654" not in f"{caught.value}{caught.value.__cause__}"


def test_a_database_of_a_newer_release_is_refused(url: str, database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StateError, match="has schema 9999; this release knows none after 0"):
        Database.open(url)


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, " * 100)
    with pytest.raises(StateError, match="not a database") as caught:
        Database.open(f"sqlite:///{path}")
    assert not isinstance(caught.value, StateUnavailableError)
    assert path.read_text() == "not a database, " * 100


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match=r"cannot be made: .*irectory|cannot be made: File exists"):
        Database.open(f"sqlite:///{tmp_path}/file/state.db")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_memory_is_no_place_for_state(url: str) -> None:
    with pytest.raises(StateError, match="in memory"):
        Database.open(url)


@pytest.mark.parametrize(
    "url", ["hunter2", "mysql://root:hunter2@127.0.0.1/state", "postgresql://root:hunter2/@127.0.0.1/state"]
)
def test_what_is_no_database_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(StateError) as caught:
        Database.open(url)
    assert "hunter2" not in f"{caught.value}{caught.value.__cause__}"


def test_the_file_can_be_backed_up_while_it_is_used(database: Database, tmp_path: Path) -> None:
    """As docs/keys.md says."""
    with database.transaction() as connection:
        connection.execute(insert(ADMIN_EVENTS).values(EVENT))
    with closing(sqlite3.connect(tmp_path / "new" / "state.db")) as source:
        source.execute("VACUUM INTO ?", [str(tmp_path / "copy.db")])
    with Database.open(f"sqlite:///{tmp_path}/copy.db") as copy:
        assert count_events(copy) == 1
