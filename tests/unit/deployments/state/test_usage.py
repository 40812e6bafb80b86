from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from deployments.audit.record import Outcome
from deployments.state.database import Database
from deployments.state.usage import add_usage, read_usage
from deployments.state.usage_total import UsageColumn, UsageTotal
from tests.unit.deployments.state.journals import request


@pytest.fixture
def used(database: Database) -> Database:
    with database.transaction() as connection:
        add_usage(connection, [request(100), request(60), request(20, version="2", outcome=Outcome.FAILED)])
    with database.transaction() as connection:
        late = datetime(2027, 1, 15, 23, 59, 59, tzinfo=UTC)
        add_usage(connection, [request(4, time=late), request(8, time=late.replace(day=16), key=None, model=None)])
    return database


def test_totals_are_told_apart_by_what_is_asked_for(used: Database) -> None:
    with used.read() as connection:
        assert read_usage(connection, [UsageColumn.VERSION, UsageColumn.OUTCOME]) == [
            UsageTotal(("1", "ok"), 4, 129, 43, 1720),
            UsageTotal(("2", "failed"), 1, 15, 5, 200),
        ]
        assert [total.group for total in read_usage(connection, [UsageColumn.KEY])] == [("",), ("ab12cd34",)]
        assert read_usage(connection, []) == [UsageTotal((), 5, 144, 48, 1920)]


def test_days_are_those_of_utc_and_both_ends_count(used: Database) -> None:
    with used.read() as connection:
        by_day = read_usage(connection, [UsageColumn.DAY])
        assert [(total.group, total.requests) for total in by_day] == [(("2027-01-15",), 4), (("2027-01-16",), 1)]
        assert read_usage(connection, [UsageColumn.DAY], since=date(2027, 1, 16)) == by_day[1:]
        assert read_usage(connection, [UsageColumn.DAY], until=date(2027, 1, 15)) == by_day[:1]
        assert read_usage(connection, [], since=date(2028, 1, 1)) == []


def test_a_shadow_is_nobodys_usage(database: Database) -> None:
    with database.transaction() as connection:
        add_usage(connection, [request(shadow_of="1")])
        assert read_usage(connection, []) == []
