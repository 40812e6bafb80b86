"""Writing rows that may be there already, on either database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from sqlalchemy import Connection, Insert, Table
from sqlalchemy.dialects import postgresql, sqlite

Row: TypeAlias = Mapping[str, object]


def add_rows(connection: Connection, table: Table, rows: Sequence[Row], totals: Sequence[str]) -> None:
    """Insert ``rows``; where one has the primary key of another, add the columns ``totals`` to it."""
    insert = _insert(connection, table)
    added = {name: table.c[name] + insert.excluded[name] for name in totals}
    _execute(connection, insert.on_conflict_do_update(index_elements=table.primary_key, set_=added), rows)


def put_rows(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert ``rows``; where one has the primary key of another, take its place."""
    insert = _insert(connection, table)
    rest = {column.name: insert.excluded[column.name] for column in table.c if not column.primary_key}
    _execute(connection, insert.on_conflict_do_update(index_elements=table.primary_key, set_=rest), rows)


def insert_if_absent(connection: Connection, table: Table, row: Row) -> bool:
    """Whether there was no row with this primary key."""
    return connection.execute(_insert(connection, table).on_conflict_do_nothing(), row).rowcount == 1


def _insert(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def _execute(connection: Connection, statement: Insert, rows: Sequence[Row]) -> None:
    if rows:  # with none the statement would run once, with nulls
        connection.execute(statement, rows)
