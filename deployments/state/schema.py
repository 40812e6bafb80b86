"""The tables of the state database, as the newest migration leaves them. Times are seconds since the epoch."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    Double,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

API_KEYS = Table(
    "api_keys",
    METADATA,
    Column("prefix", String(8), primary_key=True),
    Column("digest", String(64), nullable=False),  # SHA-256 of the whole key, in hex
    Column("owner", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("roles", JSON, nullable=False),
    Column("models", JSON),
    Column("priority", Text, nullable=False),
    Column("limits", JSON, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),
    Column("rotated_at", Double),
    Column("previous_digest", String(64)),
    Column("previous_until", Double),
)

ADMIN_EVENTS = Table(
    "admin_events",
    METADATA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),  # SQLite counts only INTEGER up
    Column("time", Double, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("details", JSON, nullable=False),
    Column("exported_at", Double),
    Index(None, "exported_at", "id"),
)

REVISIONS = Table(
    "revisions",
    METADATA,
    Column("topic", Text, primary_key=True),
    Column("revision", BigInteger, nullable=False),
)

USAGE = Table(
    "usage",
    METADATA,
    Column("day", Date, primary_key=True),  # UTC
    Column("key", Text, primary_key=True),  # the public prefix; empty where no keys are asked for
    Column("tenant", Text, primary_key=True),
    Column("model", Text, primary_key=True),  # model and version are empty where none answered
    Column("version", Text, primary_key=True),
    Column("outcome", Text, primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cost_nano", BigInteger, nullable=False),
)

COUNTERS = Table(
    "counters",
    METADATA,
    Column("counter", Text, primary_key=True),
    Column("spent", BigInteger, nullable=False),
    Column("ends_at", Double, nullable=False, index=True),
)

LEASES = Table(
    "leases",
    METADATA,
    Column("counter", Text, primary_key=True),
    Column("replica", Text, primary_key=True),
    Column("amount", BigInteger, nullable=False),
    Column("unmet", BigInteger, nullable=False),
    Column("ends_at", Double, nullable=False, index=True),
)

REPLICAS = Table(
    "replicas",
    METADATA,
    Column("replica", Text, primary_key=True),
    Column("expires_at", Double, nullable=False),
)

JOURNAL_CURSORS = Table(
    "journal_cursors",
    METADATA,
    Column("file", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),  # bytes that are counted in usage and counters
    Column("hash", Text, nullable=False),  # of the last line before it
)

ROLLOUTS = Table(
    "rollouts",
    METADATA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("route", Text, nullable=False),
    Column("old", Text, nullable=False),  # name@version
    Column("new", Text, nullable=False),
    Column("plan", JSON, nullable=False),
    Column("state", Text, nullable=False),
    Column("step", Integer, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("entered_at", Double, nullable=False),
    Column("held_s", Double, nullable=False),
    Column("held_since", Double),
    Column("in_force", Boolean, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("why", Text, nullable=False),
    Column("down_since", Double),
    Index(None, "in_force"),
)

ROLLOUT_EVENTS = Table(
    "rollout_events",
    METADATA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("rollout", BigInteger, nullable=False, index=True),
    Column("time", Double, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("from_step", Integer, nullable=False),
    Column("to_step", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("numbers", JSON),
)

ROLLOUT_COUNTS = Table(
    "rollout_counts",
    METADATA,
    Column("rollout", BigInteger, primary_key=True, autoincrement=False),
    Column("step", Integer, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("bucket", Integer, primary_key=True),  # of a latency; 0 where there are none
    Column("count", BigInteger, nullable=False),
)
