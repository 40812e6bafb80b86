"""The state database as a PostgreSQL server, for clusters of several nodes."""

from __future__ import annotations

from sqlalchemy import URL, Engine, create_engine

_SECOND_MS = 1000
_POOL_SIZE = 1
_MAX_OVERFLOW = 3


def postgresql_engine(url: URL, timeout_s: float) -> Engine:
    """An engine that sees an outage within about ``timeout_s``, and goes on by itself when it is over.

    What the URL's query says of timeouts stands.
    """
    timeout_ms = int(timeout_s * _SECOND_MS)
    defaults = {
        "connect_timeout": max(2, int(timeout_s)),  # less is not possible with libpq
        "tcp_user_timeout": timeout_ms,
        "keepalives_idle": 1,
        "keepalives_interval": 1,
        "keepalives_count": 2,
        "options": f"-c statement_timeout={timeout_ms} -c idle_in_transaction_session_timeout={5 * timeout_ms}",
        "client_encoding": "utf8",
        "application_name": "stowage",
    }
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        connect_args={name: value for name, value in defaults.items() if name not in url.query},
        pool_size=_POOL_SIZE,
        max_overflow=_MAX_OVERFLOW,
        pool_timeout=timeout_s,
        pool_pre_ping=True,
        hide_parameters=True,
    )
