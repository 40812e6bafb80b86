"""How far the journals are counted: what the check of a journal can hold its files against."""

from __future__ import annotations

from sqlalchemy import Connection, select

from deployments.audit.reader import Cursor
from deployments.state.schema import JOURNAL_CURSORS


def read_anchors(connection: Connection) -> dict[str, Cursor]:
    """The position in every file that was ever counted, on whatever node it is or was, by file."""
    rows = connection.execute(select(JOURNAL_CURSORS))
    return {row.file: Cursor(row.file, row.position, row.hash) for row in rows}
