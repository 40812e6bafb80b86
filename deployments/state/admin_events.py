"""What administrators did: written with the change itself, then copied into the audit journal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from pydantic import JsonValue
from sqlalchemy import Connection, Row, insert, select, update

from deployments.audit.record import AdminRecord
from deployments.state.schema import ADMIN_EVENTS

_AT_ONCE = 100


def note_change(
    connection: Connection, *, time: float, actor: str, action: str, subject: str, details: dict[str, JsonValue]
) -> None:
    """In the transaction of the change, so that neither is there without the other. ``time`` since the epoch."""
    connection.execute(
        insert(ADMIN_EVENTS).values(time=time, actor=actor, action=action, subject=subject, details=details)
    )


def claim_unexported(connection: Connection, limit: int, now: float) -> list[AdminRecord]:
    """Up to ``limit`` events that are in no journal yet, oldest first; no other transaction gets the same.

    Append them to the journal before this transaction commits: a failure between the two repeats records, which
    have the same ``id`` then, and loses none.
    """
    waiting = select(ADMIN_EVENTS).where(ADMIN_EVENTS.c.exported_at.is_(None)).order_by(ADMIN_EVENTS.c.id)
    rows = connection.execute(waiting.limit(limit).with_for_update(skip_locked=True)).all()
    if rows:
        claimed = ADMIN_EVENTS.c.id.in_([row.id for row in rows])
        connection.execute(update(ADMIN_EVENTS).where(claimed).values(exported_at=now))
    return [_record(row) for row in rows]


def claim_all(connection: Connection, now: float) -> Iterator[AdminRecord]:
    """All of them, claimed a part at a time as they are taken."""
    while events := claim_unexported(connection, _AT_ONCE, now):
        yield from events


def _record(row: Row[Any]) -> AdminRecord:
    return AdminRecord(
        id=f"admin-{row.id}",
        time=datetime.fromtimestamp(row.time, UTC),
        actor=row.actor,
        action=row.action,
        subject=row.subject,
        details=row.details,
    )
