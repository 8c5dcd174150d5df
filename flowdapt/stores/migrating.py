"""Bring an older database to a version of the schema, with alembic."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy.schema import CreateIndex

from flowdapt.stores.building import dialect
from flowdapt.stores.dialects import SQLITE
from flowdapt.stores.profile_rows import metadata
from flowdapt.stores.schema import MIGRATIONS

__all__ = ["migrate"]


def migrate(connection: Any, *, to: str = "head", migrations: Path = MIGRATIONS) -> None:
    """Bring an open SQLAlchemy connection's database to a version, in its transaction."""
    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)

    def steps(current: Any, _: Any) -> Any:
        return script._upgrade_revs(to, current)  # noqa: SLF001 - as alembic's own command does

    with EnvironmentContext(config, script, fn=steps) as context:
        context.configure(
            connection=connection, target_metadata=metadata, render_as_batch=True,
            transactional_ddl=True, transaction_per_migration=False,
        )  # fmt: skip
        with warnings.catch_warnings():
            # What reflection does not see is put right below.
            warnings.filterwarnings("ignore", "Skipped unsupported reflection")
            context.run_migrations()
    if connection.dialect.name == SQLITE:
        _restore_indexes(connection)


def _restore_indexes(connection: Any) -> None:
    """Make again the indexes that copying a table lost or changed: expressions and directions."""
    there = dict(
        connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE sql <> ''").fetchall()
    )
    for table in metadata.sorted_tables:
        for index in table.indexes if table.name in there else ():
            wanted = str(CreateIndex(index).compile(dialect=dialect(SQLITE)))
            if there.get(index.name) != wanted:
                connection.exec_driver_sql(f"DROP INDEX IF EXISTS {index.name}")
                connection.exec_driver_sql(wanted)
