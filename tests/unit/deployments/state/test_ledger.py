from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete, select, update

from deployments.limits.sizing import Order
from deployments.state.database import Database
from deployments.state.ledger import Ledger
from deployments.state.schema import COUNTERS, JOURNAL_CURSORS, LEASES, REPLICAS, REVISIONS, USAGE
from models.errors import StateUnavailableError
from tests.unit.deployments.state.journals import MONEY, NOW, TOKENS, open_journal, request

ORDER = Order(TOKENS, 1000, NOW + 60, held=0, free=0, more=0, need=300)


class LostAnswers(Database):
    """Commits, and then fails to say so, once."""

    num_lost = 0

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        with super().transaction() as connection:
            yield connection
        if self.num_lost:
            self.num_lost -= 1
            raise StateUnavailableError("the connection broke while the transaction was committed")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def ledger(database: Database, folder: Path, replica: str = "r1") -> Ledger:
    return Ledger(database, folder, replica, lambda: NOW)


def tend(mine: Ledger) -> None:
    while mine.tend():
        pass


def num_requests(database: Database) -> int:
    with database.read() as connection:
        return sum(connection.execute(select(USAGE.c.requests)).scalars())


def test_one_call_counts_what_is_new_and_renews_the_leases(database: Database, folder: Path) -> None:
    journal, mine = open_journal(folder), ledger(database, folder)
    journal.append(request(100))
    answer = mine.settle([ORDER])
    assert [(grant.amount, grant.spent) for grant in answer.grants] == [(300, 100)]
    assert answer.booked == {TOKENS: 100, MONEY: 1000}
    assert answer.revisions["keys"] == 0
    assert not answer.is_behind
    assert mine.settle([]).booked == {}
    assert num_requests(database) == 1


def test_a_lost_answer_counts_nothing_twice_and_nothing_is_missed(tmp_path: Path, folder: Path) -> None:
    with LostAnswers.open(f"sqlite:///{tmp_path}/state.db") as database:
        journal, mine = open_journal(folder), ledger(database, folder)
        journal.append(request(100))
        database.num_lost = 1
        with pytest.raises(StateUnavailableError):
            mine.settle([])
        journal.append(request(7))
        assert mine.settle([]).booked[TOKENS] == 100  # what was counted before the answer was lost
        assert mine.settle([]).booked[TOKENS] == 7
        assert num_requests(database) == 2


def test_a_restored_database_counts_again_what_it_has_forgotten(database: Database, folder: Path) -> None:
    journal, mine = open_journal(folder), ledger(database, folder)
    journal.append(request(100))
    mine.settle([])
    with database.transaction() as connection:
        for table in (USAGE, COUNTERS, JOURNAL_CURSORS):
            connection.execute(delete(table))
    journal.append(request(7))
    assert sum(len(mine.settle([]).booked) for _ in range(3)) > 0
    assert num_requests(database) == 2


def test_a_long_journal_is_counted_in_pieces(database: Database, folder: Path) -> None:
    journal, mine = open_journal(folder), ledger(database, folder)
    for _ in range(2000):
        journal.append(request())
    assert mine.waiting_bytes() > 2**19
    num_calls = 1
    while mine.settle([]).is_behind:
        num_calls += 1
    assert num_calls > 1
    mine.settle([])
    assert (num_requests(database), mine.waiting_bytes()) == (2000, 0)


def test_what_a_dead_replica_left_is_counted_and_freed(database: Database, folder: Path) -> None:
    dead, alive = open_journal(folder, "r1"), open_journal(folder, "r2")
    ledger(database, folder, "r1").settle([ORDER])
    dead.append(request(100))
    alive.append(request(100, replica="r2"))
    survivor = ledger(database, folder, "r2")
    tend(survivor)
    assert num_requests(database) == 0
    dead.close()
    tend(survivor)
    tend(survivor)
    assert num_requests(database) == 1
    with database.read() as connection:
        assert (
            connection.execute(select(COUNTERS.c.spent).where(COUNTERS.c.counter == str(TOKENS))).scalar() == 100
        )
        assert connection.execute(select(LEASES)).all() == []
        assert connection.execute(select(REPLICAS.c.replica)).scalars().all() == ["r2"]


def test_a_long_journal_of_a_dead_replica_is_counted_in_pieces(database: Database, folder: Path) -> None:
    ledger(database, folder, "r1").settle([ORDER])
    dead = open_journal(folder, "r1")
    for _ in range(2000):
        dead.append(request())
    dead.close()
    survivor, counted = ledger(database, folder, "r2"), [0]
    while survivor.tend():
        counted.append(num_requests(database))
        with database.read() as connection:
            assert connection.execute(select(LEASES)).all() != []
    assert len(counted) > 2
    assert counted == sorted(set(counted))
    assert counted[-1] == 2000
    with database.read() as connection:
        assert connection.execute(select(LEASES)).all() == []


def test_half_a_line_does_not_hold_up_what_follows(database: Database, folder: Path) -> None:
    first = open_journal(folder, "r1")
    first.append(request())
    first.close()
    with (folder / "r1.00000001.jsonl").open("ab") as torn:
        torn.write(b'{"seq":2,"kind":"req')
    second = open_journal(folder, "r1")
    second.append(request())
    second.close()
    tend(ledger(database, folder, "r2"))
    assert num_requests(database) == 2


def test_a_line_that_was_changed_is_reported_once_and_not_counted(
    database: Database, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = open_journal(folder)
    journal.append(request(100))
    journal.append(request(100))
    path = folder / "r1.00000001.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"cost_nano":1000', b'"cost_nano":9999'))
    mine = ledger(database, folder)
    with caplog.at_level(logging.ERROR, "ray.serve"):
        mine.settle([])
        mine.settle([])
    assert ["not as it was written" in record.getMessage() for record in caplog.records] == [True]
    assert num_requests(database) == 0


def test_who_leaves_holds_nothing(database: Database, folder: Path) -> None:
    open_journal(folder)
    mine = ledger(database, folder)
    mine.settle([ORDER])
    mine.leave()
    with database.read() as connection:
        assert connection.execute(select(LEASES)).all() == []


def test_a_revision_that_changes_is_seen(database: Database, folder: Path) -> None:
    open_journal(folder)
    mine = ledger(database, folder)
    before = mine.settle([]).revisions
    with database.transaction() as connection:
        connection.execute(update(REVISIONS).values(revision=REVISIONS.c.revision + 1))
    assert mine.settle([]).revisions["keys"] == before["keys"] + 1
