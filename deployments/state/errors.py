"""The drivers' errors as those of the one error tree."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from models.errors import StateError, StateUnavailableError

_SQLITE_OUTAGES = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
)


@contextmanager
def state_errors() -> Iterator[None]:
    """StateUnavailableError for an outage, StateError for all else that the database refuses."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise _translate(error) from error


def _translate(error: SQLAlchemyError | sqlite3.Error) -> StateError:
    """Only the first line of the driver's message: later ones quote values, which may be a key's digest."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    text = str(cause).strip().partition("\n")[0]
    is_outage = _is_sqlite_outage(cause) if isinstance(cause, sqlite3.Error) else _is_outage(error)
    if is_outage:
        return StateUnavailableError(f"the state database does not answer: {text}")
    return StateError(f"the state database refuses: {text}")


def _is_sqlite_outage(error: sqlite3.Error) -> bool:
    """By the code, of which the low byte is the kind: the driver calls wrong SQL operational as well."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF in _SQLITE_OUTAGES


def _is_outage(error: BaseException) -> bool:
    broken = isinstance(error, DBAPIError) and error.connection_invalidated
    return broken or isinstance(error, OperationalError | InterfaceError | PoolTimeoutError)
