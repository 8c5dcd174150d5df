"""Decide which schema a database has and should have, and how a fresh one is made.

A fresh database is created from the tables and stamped; an older one is left to `migrating`, which
alone loads alembic. Tests hold both ways to the same result.
"""

from __future__ import annotations

from pathlib import Path

from flowdapt.domain.errors import NewerStore
from flowdapt.stores import prepared
from flowdapt.stores.dialects import SQLITE

__all__ = [
    "HEAD",
    "MIGRATIONS",
    "VERSION_QUERY",
    "VERSION_TABLE",
    "creation",
    "known_versions",
    "refuse_newer",
]

MIGRATIONS = Path(__file__).parent / "migrations"
HEAD = "0003"
VERSION_TABLE = "alembic_version"
VERSION_QUERY = "SELECT version_num FROM alembic_version"


def known_versions(migrations: Path = MIGRATIONS) -> list[str]:
    """Return the versions that this code can come from, the oldest first."""
    return sorted(path.name[:4] for path in (migrations / "versions").glob("[0-9]*.py"))


def creation(name: str) -> list[str]:
    """Return the statements that make an empty database current."""
    made = list(prepared.CREATION) if name == SQLITE else _made_from_rows(name)
    made.append(
        f"CREATE TABLE {VERSION_TABLE} (version_num VARCHAR(32) NOT NULL, "
        f"CONSTRAINT {VERSION_TABLE}_pkc PRIMARY KEY (version_num))"
    )
    made.append(f"INSERT INTO {VERSION_TABLE} VALUES ('{HEAD}')")  # noqa: S608 - our own constants
    return made


def _made_from_rows(name: str) -> list[str]:
    from flowdapt.stores import sources

    return sources.creation(name)


def refuse_newer(version: str, known: list[str]) -> None:
    """Raise NewerStore for a version that this code does not know."""
    if version not in known:
        raise NewerStore(
            f"the database has schema {version}, this flowdapt knows up to {known[-1]}",
            fix="update flowdapt, or restore a backup made by this version",
        )
