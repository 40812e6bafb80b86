"""What was used: by day, against limits, and how far the journals have been counted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    _create_usage()
    _create_limits()
    op.create_table(
        "journal_cursors",
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("file", name="pk_journal_cursors"),
    )


def _create_usage() -> None:
    key = ("key", "tenant", "model", "version", "outcome")
    totals = ("requests", "input_tokens", "output_tokens", "cost_nano")
    op.create_table(
        "usage",
        sa.Column("day", sa.Date, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in key),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in totals),
        sa.PrimaryKeyConstraint("day", *key, name="pk_usage"),
    )


def _create_limits() -> None:
    op.create_table(
        "counters",
        sa.Column("counter", sa.Text, nullable=False),
        sa.Column("spent", sa.BigInteger, nullable=False),
        sa.Column("ends_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("counter", name="pk_counters"),
    )
    op.create_table(
        "leases",
        sa.Column("counter", sa.Text, nullable=False),
        sa.Column("replica", sa.Text, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("unmet", sa.BigInteger, nullable=False),
        sa.Column("ends_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("counter", "replica", name="pk_leases"),
    )
    for table in ("counters", "leases"):
        op.create_index(f"ix_{table}_ends_at", table, ["ends_at"])
    op.create_table(
        "replicas",
        sa.Column("replica", sa.Text, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("replica", name="pk_replicas"),
    )
    op.execute("INSERT INTO revisions (topic, revision) VALUES ('leases', 0)")  # what replicas lock for their turn
