"""The state database on a real PostgreSQL server, and on an SQLite file that several processes share."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import select, text, update

from deployments.identity.caller import Priority, Role
from deployments.limits.limit_set import LimitSet
from deployments.state.admin_events import claim_unexported, note_change
from deployments.state.api_key import KeyGrant
from deployments.state.database import Database
from deployments.state.keyring import Keyring
from deployments.state.keys import Keys
from deployments.state.schema import METADATA, REVISIONS
from models.errors import StateError, StateUnavailableError
from tests.integration.cluster import ROOT, end, free_port
from tests.integration.postgres import PostgresServer

GRANT = KeyGrant(
    owner="Ann Ö",
    tenant="search",
    roles=(Role.OPERATOR, Role.CALLER),
    models=("smol*",),
    priority=Priority.BATCH,
    limits=LimitSet(requests_per_minute=60, cost_per_month=Decimal("12.50")),
    expires_at=2_000_000_000_000.5,
)
OPEN = "import sys; from deployments.state.database import Database; Database.open(sys.argv[1]).close()"
ADD = """
import sys
from sqlalchemy import text
from deployments.state.database import Database
database = Database.open(sys.argv[1])
for _ in range(int(sys.argv[2])):
    with database.transaction() as connection:
        connection.execute(text("SELECT revision FROM revisions")).all()
        connection.execute(text("UPDATE revisions SET revision = revision + 1 WHERE topic = 'keys'"))
database.close()
"""

CLAIM = """
import sys
from deployments.state.admin_events import claim_unexported
from deployments.state.database import Database
with Database.open(sys.argv[1]) as database:
    for _ in range(30):
        with database.transaction() as connection:
            for event in claim_unexported(connection, 3, now=0):
                print(event.id, file=sys.stderr)
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/new/state.db"
    found: str = request.getfixturevalue("postgres_url")
    return found


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    with Database.open(url) as opened:
        yield opened


@pytest.fixture
def served(postgres_url: str) -> Iterator[Database]:
    """A database on the server, with short patience."""
    with Database.open(postgres_url, timeout_s=1) as opened:
        yield opened


def run_at_once(code: str, *arguments: str, num_processes: int) -> list[str]:
    """What each process wrote to standard error."""
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    started = [
        subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(num_processes)
    ]
    try:
        return [process.communicate(timeout=120)[1] for process in started]
    finally:
        end(started)


def revision(database: Database) -> int:
    with database.read() as connection:
        return int(
            connection.execute(select(REVISIONS.c.revision).where(REVISIONS.c.topic == "keys")).scalar_one()
        )


def write_while(database: Database, happens: Callable[[], None]) -> None:
    with database.transaction() as connection:
        connection.execute(update(REVISIONS).values(revision=1))
        happens()
        connection.execute(text("SELECT pg_sleep(30)"))  # the server's process for us lives a little longer


def test_processes_that_open_a_new_database_at_once_all_find_it_whole(url: str) -> None:
    assert run_at_once(OPEN, url, num_processes=4) == [""] * 4
    with Database.open(url) as database:
        assert revision(database) == 0


def test_writers_take_turns_and_lose_nothing(url: str, database: Database) -> None:
    assert run_at_once(ADD, url, "50", num_processes=4) == [""] * 4
    assert revision(database) == 200


def test_the_migrations_make_what_the_schema_says(database: Database) -> None:
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_a_key_lives_the_same_life_on_both(database: Database) -> None:
    keys = Keys(database)
    old = keys.create(GRANT, "cli:root")
    new = keys.rotate(old.key.prefix, 60, "cli:root")
    assert keys.list() == (new.key,)
    for text_ in (old.text, new.text):
        assert Keyring(keys.list()).identify(text_, time.time()) == old.key.caller
    assert keys.revoke(old.key.prefix, "cli:root").revoked_at is not None
    assert revision(database) == 3
    with database.transaction() as connection:
        found = claim_unexported(connection, 10, now=0)
    assert [event.action for event in found] == ["key.create", "key.rotate", "key.revoke"]


def test_each_event_is_claimed_by_one_process(url: str, database: Database) -> None:
    with database.transaction() as connection:
        for number in range(100):
            note_change(connection, time=0, actor="cli:root", action="act", subject=str(number), details={})
    claimed = [line for lines in run_at_once(CLAIM, url, num_processes=4) for line in lines.splitlines()]
    assert sorted(claimed) == sorted(f"admin-{number}" for number in range(1, 101))


def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(StateError, match=r"read.?only"), database.read() as connection:
        connection.execute(update(REVISIONS).values(revision=7))
    assert revision(database) == 0


def test_a_server_that_dies_is_seen_at_once_and_found_again(
    postgres_server: PostgresServer, served: Database
) -> None:
    with served.transaction() as connection:
        connection.execute(update(REVISIONS).values(revision=1))
    postgres_server.kill()
    try:
        for _ in range(2):  # on the connection that broke, then on a new one
            began = time.monotonic()
            with pytest.raises(StateUnavailableError, match="does not answer"):
                revision(served)
            assert time.monotonic() - began < 2.5
    finally:
        postgres_server.start()
    assert revision(served) == 1


def test_a_server_that_dies_within_a_transaction_undoes_it(
    postgres_server: PostgresServer, served: Database
) -> None:
    try:
        with pytest.raises(StateUnavailableError):
            write_while(served, postgres_server.kill)
    finally:
        postgres_server.start()
    assert revision(served) == 0


def test_a_statement_that_takes_too_long_is_an_outage(served: Database) -> None:
    began = time.monotonic()
    with pytest.raises(StateUnavailableError, match="statement timeout"), served.read() as connection:
        connection.execute(text("SELECT pg_sleep(30)"))
    assert time.monotonic() - began < 5


def test_an_outage_is_told_without_the_password() -> None:
    with pytest.raises(StateUnavailableError) as caught:
        Database.open(f"postgresql://stowage:hunter2@127.0.0.1:{free_port()}/state")
    assert "hunter2" not in str(caught.value)


def test_a_text_database_without_an_encoding_is_read_as_text(postgres_server: PostgresServer) -> None:
    """What PostgreSQL makes where no locale is set."""
    with Database.open(postgres_server.new_database("SQL_ASCII")) as database:
        assert revision(database) == 0
