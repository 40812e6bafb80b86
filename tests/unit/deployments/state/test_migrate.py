from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

from deployments.state.database import Database
from deployments.state.schema import METADATA
from models.errors import StateError


def test_the_migrations_make_what_the_schema_says(database: Database) -> None:
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_a_table_that_the_migrations_lack_is_found(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(text("DROP TABLE admin_events"))
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) != []


def test_a_migration_that_fails_undoes_those_before_it(url: str, database: Database) -> None:
    with database.transaction() as connection:
        for table in ("api_keys", "admin_events", "revisions"):
            connection.execute(text(f"DROP TABLE {table}"))
        connection.execute(text("DELETE FROM alembic_version"))
    with pytest.raises(StateError, match="table usage already exists"):
        Database.open(url)
    with database.read() as connection:
        assert "api_keys" not in inspect(connection).get_table_names()
