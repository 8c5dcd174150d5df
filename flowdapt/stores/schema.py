"""Decide which schema a database has and should have, and how a fresh one is made.

A fresh database is created from the tables and stamped; alembic is loaded only to migrate an older
one. Tests hold both ways to the same result.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from sqlalchemy.schema import CreateIndex, CreateTable

from flowdapt.domain.errors import NewerStore
from flowdapt.stores.dialects import SQLITE, dialect
from flowdapt.stores.rows import metadata

__all__ = [
    "HEAD",
    "MIGRATIONS",
    "VERSION_QUERY",
    "VERSION_TABLE",
    "creation",
    "known_versions",
    "migrate",
    "refuse_newer",
]

MIGRATIONS = Path(__file__).parent / "migrations"
HEAD = "0001"
VERSION_TABLE = "alembic_version"
VERSION_QUERY = "SELECT version_num FROM alembic_version"


def known_versions(migrations: Path = MIGRATIONS) -> list[str]:
    """Return the versions that this code can come from, the oldest first."""
    return sorted(path.name[:4] for path in (migrations / "versions").glob("[0-9]*.py"))


def creation(name: str) -> list[str]:
    """Return the statements that make an empty database current."""
    made = []
    for table in metadata.sorted_tables:
        made.append(str(CreateTable(table).compile(dialect=dialect(name))))
        made += [
            str(CreateIndex(index).compile(dialect=dialect(name)))
            for index in sorted(table.indexes, key=lambda index: str(index.name))
        ]
    made.append(
        f"CREATE TABLE {VERSION_TABLE} (version_num VARCHAR(32) NOT NULL, "
        f"CONSTRAINT {VERSION_TABLE}_pkc PRIMARY KEY (version_num))"
    )
    made.append(f"INSERT INTO {VERSION_TABLE} VALUES ('{HEAD}')")  # noqa: S608 - our own constants
    return made


def refuse_newer(version: str, known: list[str]) -> None:
    """Raise NewerStore for a version that this code does not know."""
    if version not in known:
        raise NewerStore(
            f"the database has schema {version}, this flowdapt knows up to {known[-1]}",
            fix="update flowdapt, or restore a backup made by this version",
        )


def migrate(connection: Any, *, to: str = "head", migrations: Path = MIGRATIONS) -> None:
    """Bring an open SQLAlchemy connection's database to a version, in its transaction."""
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

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
