"""One router replica's account with the state database: what it used goes in, what it may use comes out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from deployments.audit.reader import Chunk, Cursor, pending, read_chunk
from deployments.audit.record import Record
from deployments.audit.segments import dead_writers, list_segments
from deployments.limits.limit_set import Counter
from deployments.limits.sizing import Grant, Order
from deployments.state.database import Database
from deployments.state.leases import purge, release, renew, take_turn
from deployments.state.projection import charged, project, read_cursors
from deployments.state.revisions import read_revisions

_CHUNK_BYTES = 2**19  # about a thousand requests, counted in some 50 ms

logger = logging.getLogger("ray.serve")


@dataclass(frozen=True, slots=True)
class Answer:
    """``booked`` is what the database has come to count of what this replica used, since the last answer.

    ``is_behind``: the journal holds more that is not counted yet.
    """

    grants: Sequence[Grant]
    booked: Mapping[Counter, int]
    revisions: Mapping[str, int]
    is_behind: bool


class Ledger:
    """Blocking, and for one thread at a time. ``replica`` is also the name of its journal's writer in ``folder``.

    StateUnavailableError and StateError leave everything to the next call, which says the same again: the
    database counts each line once, and knows of each lease what it was last told.
    """

    def __init__(self, database: Database, folder: Path, replica: str, clock: Callable[[], float]) -> None:
        self._database = database
        self._folder = folder
        self._replica = replica
        self._clock = clock
        self._counted: dict[str, Cursor] = {}
        self._damaged: set[str] = set()

    def settle(self, orders: Sequence[Order]) -> Answer:
        """In one transaction: count what is new in this replica's journal, and renew its leases."""
        reading = next(self._uncounted({self._replica}, self._counted), None)
        booked: Mapping[Counter, int] = {}
        counted: list[Cursor] = []
        with self._turn() as (connection, num_replicas):
            if reading is not None:
                counted = [project(connection, *reading)]
                booked = charged(self._between(reading, counted[0]))
            grants = renew(connection, self._replica, orders, booked, num_replicas)
            revisions = read_revisions(connection)
        self._counted |= {cursor.file: cursor for cursor in counted}
        return Answer(grants, booked, revisions, is_behind=reading is not None and _is_large(*reading))

    def tend(self) -> bool:
        """Count what dead writers of this node left in their journals; then free what they held, forget the past.

        One transaction of that, and whether there is more to count.
        """
        dead = dead_writers(self._folder)
        with self._database.read() as connection:
            counted = read_cursors(connection, _files(self._folder, dead))
        reading = next(self._uncounted(dead, counted), None)
        with self._turn() as (connection, _):
            if reading is not None:
                project(connection, *reading)
            else:
                release(connection, sorted(dead))
                purge(connection, self._clock())
        return reading is not None

    def leave(self) -> None:
        """Give everything back."""
        with self._turn() as (connection, _):
            release(connection, [self._replica])

    def waiting_bytes(self) -> int:
        """How much of this replica's journal the database does not count yet, as far as is known."""
        cursors = pending(self._folder, {self._replica}, self._counted)
        return sum((self._folder / cursor.file).stat().st_size - cursor.offset for cursor in cursors)

    @contextmanager
    def _turn(self) -> Iterator[tuple[Connection, int]]:
        """A transaction while no other replica has one, and how many replicas live."""
        with self._database.transaction() as connection:
            yield connection, take_turn(connection, self._replica, self._clock())

    def _uncounted(self, writers: Container[str], counted: Mapping[str, Cursor]) -> Iterator[tuple[Cursor, Chunk]]:
        for start in pending(self._folder, writers, counted):
            chunk = read_chunk(self._folder, start, _CHUNK_BYTES)
            if chunk.damage is not None and start.file not in self._damaged:
                self._damaged.add(start.file)
                logger.error("What follows in the journal is not counted as usage: %s", chunk.damage)
            if chunk.after != start:
                yield start, chunk

    def _between(self, reading: tuple[Cursor, Chunk], counted: Cursor) -> Iterable[Record]:
        """The records up to ``counted``: others than were read when an answer of the database was lost."""
        start, chunk = reading
        if counted == chunk.after:
            return chunk.records
        if counted.offset <= start.offset:  # the database was restored from a backup
            return ()
        return read_chunk(self._folder, start, counted.offset - start.offset).records


def _files(folder: Path, writers: Container[str]) -> list[str]:
    return [segment.file for segment in list_segments(folder) if segment.writer in writers]


def _is_large(start: Cursor, chunk: Chunk) -> bool:
    return chunk.after.offset - start.offset > _CHUNK_BYTES // 2
