"""Since when the new version of a rollout has not been up."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("rollouts", sa.Column("down_since", sa.Double))
