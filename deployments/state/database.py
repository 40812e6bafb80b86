"""One state database: what must outlive every replica, and what all router replicas must agree on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from sqlalchemy import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError

from deployments.state.errors import state_errors
from deployments.state.migrate import migrate
from deployments.state.postgresql import postgresql_engine
from deployments.state.sqlite import WRITES, sqlite_engine, sqlite_opening
from models.errors import StateError

_SQLITE_TIMEOUT_S = 5.0
_POSTGRESQL_TIMEOUT_S = 2.0
_FORMS = "give sqlite:////absolute/path.db or postgresql://user:password@host/database"


class Database:
    """Blocking: from an event loop, call it in a thread. Any number of threads may use one.

    All that fails in the database raises StateUnavailableError (an outage: try again later, with the same object)
    or StateError. Writers of an SQLite file run one after the other; PostgreSQL transactions are READ COMMITTED:
    lock the rows that a decision rests on (``with_for_update``, which means nothing to SQLite and does no harm).
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(**{WRITES: True})
        self._reader = engine.execution_options(postgresql_readonly=True)

    @classmethod
    def open(cls, url: str, *, timeout_s: float | None = None) -> Self:
        """Connect to ``url`` (as ``state_url`` gives it), make what is not there, and migrate what is older.

        ``timeout_s`` bounds each connect and statement. Default: 2 s, and 5 s for the turn of an SQLite writer.
        """
        parsed = _parse(url)
        with state_errors():
            if parsed.get_backend_name() == "sqlite":
                return cls._open_file(parsed, timeout_s or _SQLITE_TIMEOUT_S)
            return cls._migrated(postgresql_engine(parsed, timeout_s or _POSTGRESQL_TIMEOUT_S))

    @classmethod
    def _open_file(cls, url: URL, timeout_s: float) -> Self:
        if not url.database or url.database == ":memory:":
            raise StateError("a state database in memory is lost with the process", remedy="name a file")
        with sqlite_opening(Path(url.database)):
            return cls._migrated(sqlite_engine(url, timeout_s))

    @classmethod
    def _migrated(cls, engine: Engine) -> Self:
        database = cls(engine)
        try:
            migrate(database._writer)
        except BaseException:
            database.close()
            raise
        return database

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction that writes: committed at the end, rolled back when the block raises."""
        with state_errors(), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that the database lets only read."""
        with state_errors(), self._reader.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close every connection that is not in use."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()


def _parse(url: str) -> URL:
    """No error shows the URL, nor what the parser says of it: it may hold a password."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StateError("the URL of the state database cannot be parsed", remedy=_FORMS) from None
    if parsed.drivername not in ("sqlite", "postgresql"):
        raise StateError(f"the state database cannot be of the kind {parsed.drivername!r}", remedy=_FORMS)
    return parsed
