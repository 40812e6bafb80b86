"""The schema of the database, brought to the one of this release."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from models.errors import StateError

_MIGRATIONS = "deployments.state:migrations"  # inside the package: Alembic finds it by importlib.resources
_LOCK = 0x53746F77  # any number that all releases share
_LOCK_TIMEOUT_S = 30


def migrate(engine: Engine) -> None:
    """Run the migrations that the database lacks, all or none. StateError when a newer release has migrated it.

    ``engine`` writes. On PostgreSQL several processes may do so at once; on SQLite the caller sees to it.
    """
    config = Config()
    config.set_main_option("script_location", _MIGRATIONS)
    scripts = ScriptDirectory.from_config(config)
    with engine.begin() as connection:
        if _has_newest(connection, scripts):
            return
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SET LOCAL statement_timeout = '{_LOCK_TIMEOUT_S}s'"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _has_newest(connection: Connection, scripts: ScriptDirectory) -> bool:
    found = MigrationContext.configure(connection).get_current_revision()
    newest = scripts.get_current_head()
    if found is not None and found not in {script.revision for script in scripts.walk_revisions()}:
        raise StateError(
            f"the state database has schema {found}; this release knows none after {newest}",
            remedy="use the release that migrated it, or a newer one",
        )
    return found == newest
