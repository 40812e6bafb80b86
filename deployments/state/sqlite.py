"""The state database as a file of this machine."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from models.errors import StateError, StateUnavailableError

WRITES = "stowage_writes"
"""The execution option of connections that change something."""

_OPEN_TIMEOUT_S = 30.0


def sqlite_engine(url: URL, timeout_s: float) -> Engine:
    """An engine whose transactions begin as they are meant: a writer waits for its turn up to ``timeout_s``."""
    engine = create_engine(url, connect_args={"timeout": timeout_s}, hide_parameters=True)
    event.listen(engine, "connect", _take_over_transactions)
    event.listen(engine, "begin", _begin)
    return engine


@contextmanager
def sqlite_opening(path: Path) -> Iterator[None]:
    """While one process makes and migrates the file, the others wait.

    SQLite's own locks do not do: two processes that turn on write-ahead logging at once fail without waiting.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(path.with_name(f"{path.name}.lock"), timeout=_OPEN_TIMEOUT_S, mode=0o600):
            _make_private_file(path)
            _use_write_ahead_log(path)
            yield
    except Timeout as error:
        raise StateUnavailableError(f"another process has held {path} for {_OPEN_TIMEOUT_S:g} s") from error
    except OSError as error:
        raise StateError(
            f"the state database {path} cannot be made: {error.strerror}",
            remedy="name a folder that can be written",
        ) from error


def _make_private_file(path: Path) -> None:
    """A new file is opened here and nowhere else: closing one that SQLite has open would drop SQLite's locks."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))


def _use_write_ahead_log(path: Path) -> None:
    with closing(sqlite3.connect(path, timeout=_OPEN_TIMEOUT_S)) as connection:
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StateError(
            f"SQLite cannot keep a write-ahead log beside {path}",
            remedy="use a local disk, or PostgreSQL",
        )


def _take_over_transactions(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    """The driver begins none of its own: it would begin to read, and fail when it then has to write."""
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")


def _begin(connection: Connection) -> None:
    writes = bool(connection.get_execution_options().get(WRITES))
    connection.exec_driver_sql(f"PRAGMA query_only = {not writes:d}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
