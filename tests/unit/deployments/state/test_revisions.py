from __future__ import annotations

from deployments.state.database import Database
from deployments.state.revisions import Topic, bump, read_revisions


def test_every_topic_is_counted_from_the_first_migration_on(database: Database) -> None:
    with database.transaction() as connection:
        before = read_revisions(connection)
        for topic in Topic:
            bump(connection, topic)
        after = read_revisions(connection)
    assert after == {topic: revision + (topic in set(Topic)) for topic, revision in before.items()}
    assert after.keys() >= set(Topic)
