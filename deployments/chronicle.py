"""What administrators do at this router replica, into the state database and the audit journal."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import JsonValue

from deployments.audit.record import AdminRecord
from deployments.audit.writer import JournalWriter
from deployments.state.admin_events import claim_all, note_change
from deployments.state.database import Database
from models.errors import StateError

_SAME_S = 1e-5  # the journal's times are whole microseconds


@dataclass(frozen=True, slots=True)
class _Event:
    time: float
    actor: str
    action: str
    subject: str
    details: Mapping[str, JsonValue]


class JournalledChronicle:
    """``database`` gives None while it has not been opened; while it is away, the journal alone has what was done.

    ``clock`` gives seconds since the epoch.
    """

    def __init__(
        self, journal: JournalWriter, database: Callable[[], Database | None], clock: Callable[[], float]
    ) -> None:
        self._journal = journal
        self._database = database
        self._clock = clock

    async def note(self, actor: str, action: str, subject: str, details: Mapping[str, JsonValue]) -> None:
        """Once in the journal, whatever becomes of the database."""
        event = _Event(self._clock(), actor, action, subject, details)
        await asyncio.to_thread(self._write, event)

    def _write(self, event: _Event) -> None:
        database = self._database()
        if database is None or not self._store(database, event):
            self._journal.append(_record(event))

    def _store(self, database: Database, event: _Event) -> bool:
        """Whether the event is in the journal, or will come there from the database."""
        exported = False
        try:
            with database.transaction() as connection:
                note_change(
                    connection, time=event.time, actor=event.actor, action=event.action,
                    subject=event.subject, details=dict(event.details),
                )  # fmt: skip
                for record in claim_all(connection, self._clock()):
                    self._journal.append(record)
                    exported = exported or _is_of(record, event)
        except StateError:
            return exported
        return True


def _is_of(record: AdminRecord, event: _Event) -> bool:
    same_time = abs(record.time.timestamp() - event.time) < _SAME_S
    return same_time and (record.action, record.subject) == (event.action, event.subject)


def _record(event: _Event) -> AdminRecord:
    return AdminRecord(
        id=f"admin-{uuid.uuid4().hex}",
        time=datetime.fromtimestamp(event.time, UTC),
        actor=event.actor,
        action=event.action,
        subject=event.subject,
        details=dict(event.details),
    )
