"""Counters that tell routers in one cheap read which part of the state has changed."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from sqlalchemy import Connection, select, update

from deployments.state.schema import REVISIONS


class Topic(StrEnum):
    """What is counted. A migration makes the row of each."""

    KEYS = "keys"
    ROLLOUTS = "rollouts"


def bump(connection: Connection, topic: Topic) -> None:
    """Say that ``topic`` changes with this transaction. Concurrent changes of one topic take turns from here."""
    connection.execute(
        update(REVISIONS).where(REVISIONS.c.topic == topic).values(revision=REVISIONS.c.revision + 1)
    )


def read_revisions(connection: Connection) -> Mapping[str, int]:
    """The revision of each topic: another number than before means that something of it has changed."""
    return {row.topic: row.revision for row in connection.execute(select(REVISIONS))}
