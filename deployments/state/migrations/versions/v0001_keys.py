"""API keys, what administrators did, and the revisions that tell routers what changed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    _create_keys()
    _create_admin_events()
    revisions = op.create_table(
        "revisions",
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("topic", name="pk_revisions"),
    )
    op.bulk_insert(revisions, [{"topic": "keys", "revision": 0}])


def _create_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("prefix", sa.String(8), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("roles", sa.JSON, nullable=False),
        sa.Column("models", sa.JSON),
        sa.Column("priority", sa.Text, nullable=False),
        sa.Column("limits", sa.JSON, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double),
        sa.Column("revoked_at", sa.Double),
        sa.Column("rotated_at", sa.Double),
        sa.Column("previous_digest", sa.String(64)),
        sa.Column("previous_until", sa.Double),
        sa.PrimaryKeyConstraint("prefix", name="pk_api_keys"),
    )


def _create_admin_events() -> None:
    op.create_table(
        "admin_events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("time", sa.Double, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("details", sa.JSON, nullable=False),
        sa.Column("exported_at", sa.Double),
        sa.PrimaryKeyConstraint("id", name="pk_admin_events"),
    )
    op.create_index("ix_admin_events_exported_at_id", "admin_events", ["exported_at", "id"])
