from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from deployments.audit.reader import Cursor, read_chunk
from deployments.audit.record import Charge
from deployments.limits.limit_set import Counter
from deployments.limits.sizing import Order
from deployments.state.database import Database
from deployments.state.leases import renew, take_turn
from deployments.state.projection import charged, project, read_cursors
from deployments.state.schema import COUNTERS, LEASES, USAGE
from tests.unit.deployments.state.journals import MONEY, NOW, TOKENS, open_journal, request

FILE = "r1.00000001.jsonl"
START = Cursor(FILE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def spent(connection: Connection) -> dict[str, int]:
    return dict(connection.execute(select(COUNTERS.c.counter, COUNTERS.c.spent)).all())


def project_all(database: Database, folder: Path, start: Cursor = START) -> Cursor:
    with database.transaction() as connection:
        return project(connection, start, read_chunk(folder, start))


def test_lines_are_counted_once_however_often_they_are_told(database: Database, folder: Path) -> None:
    journal = open_journal(folder)
    journal.append(request(100))
    journal.append(request(40))
    first = project_all(database, folder)
    assert project_all(database, folder) == first
    with database.read() as connection:
        assert spent(connection) == {str(TOKENS): 140, str(MONEY): 1400}
        assert read_cursors(connection, [FILE]) == {FILE: first}
    journal.append(request(7))
    second = project_all(database, folder, first)
    assert project_all(database, folder, first) == second
    assert project_all(database, folder) == second
    with database.read() as connection:
        assert spent(connection) == {str(TOKENS): 147, str(MONEY): 1470}
        assert connection.execute(select(USAGE.c.requests)).scalars().all() == [3]


def test_what_fails_after_it_is_not_counted(database: Database, folder: Path) -> None:
    open_journal(folder).append(request())
    with suppress(RuntimeError), database.transaction() as connection:
        project(connection, START, read_chunk(folder, START))
        raise RuntimeError
    with database.read() as connection:
        assert (spent(connection), read_cursors(connection, [FILE])) == ({}, {})


def test_what_is_spent_leaves_the_lease_of_the_replica_that_spent_it(database: Database, folder: Path) -> None:
    open_journal(folder).append(request(100))
    with database.transaction() as connection:
        for replica, amount in (("r1", 160), ("r2", 160)):
            num_replicas = take_turn(connection, replica, NOW)
            order = Order(TOKENS, 10_000, NOW + 60, held=0, free=0, more=amount, need=0)
            renew(connection, replica, [order], {}, num_replicas)
    project_all(database, folder)
    with database.read() as connection:
        held = connection.execute(select(LEASES.c.replica, LEASES.c.amount)).all()
    assert dict(held) == {"r1": 60, "r2": 160}


def test_a_counter_of_a_later_release_is_passed_over(database: Database, folder: Path) -> None:
    charges = (Charge("key", "ab12cd34", "tokens_per_year", 0), Charge(*TOKENS), Charge("planet", "earth", "x", 0))
    open_journal(folder).append(request(100, charges=charges))  # type: ignore[arg-type]
    project_all(database, folder)
    with database.read() as connection:
        assert spent(connection) == {str(TOKENS): 100}


def test_what_is_charged_is_the_sum_over_the_records() -> None:
    expected: dict[Counter, int] = {TOKENS: 30, MONEY: 100}
    assert charged([request(10), request(20, charges=[TOKENS])]) == expected
