from __future__ import annotations

from datetime import UTC, datetime

import pytest

from deployments.audit.record import AdminRecord
from deployments.state import admin_events
from deployments.state.admin_events import claim_all, claim_unexported, note_change
from deployments.state.database import Database


@pytest.fixture
def noted(database: Database) -> Database:
    with database.transaction() as connection:
        for number in range(5):
            note_change(
                connection, time=1000.5, actor="cli:ann", action="act", subject=str(number), details={"n": number}
            )
    return database


def claim(database: Database, limit: int) -> list[str]:
    with database.transaction() as connection:
        return [event.subject for event in claim_unexported(connection, limit, now=2000)]


def test_events_are_claimed_once_oldest_first(noted: Database) -> None:
    assert [claim(noted, 3), claim(noted, 3), claim(noted, 3)] == [["0", "1", "2"], ["3", "4"], []]


def test_all_are_claimed_a_part_at_a_time(noted: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_events, "_AT_ONCE", 2)
    with noted.transaction() as connection:
        assert [event.subject for event in claim_all(connection, now=2000)] == ["0", "1", "2", "3", "4"]
    assert claim(noted, 5) == []


def test_a_claim_that_is_not_committed_is_made_again(noted: Database) -> None:
    def fail() -> None:
        with noted.transaction() as connection:
            claim_unexported(connection, 5, now=2000)
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert claim(noted, 5) == ["0", "1", "2", "3", "4"]


def test_an_event_is_what_the_journal_takes(noted: Database) -> None:
    with noted.transaction() as connection:
        first, second = claim_unexported(connection, 2, now=2000)
    assert first == AdminRecord(
        id="admin-1",
        time=datetime(1970, 1, 1, 0, 16, 40, 500_000, tzinfo=UTC),
        actor="cli:ann",
        action="act",
        subject="0",
        details={"n": 0},
    )
    assert second.id == "admin-2"
