"""Open a PostgreSQL store: make or migrate its schema, one daemon at a time; leave backups to the server."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from flowdapt.domain.errors import CorruptStore, InvalidInput, StartRefused
from flowdapt.stores import schema
from flowdapt.stores.dialects import POSTGRESQL
from flowdapt.stores.links import Base, Link
from flowdapt.stores.postgres import Connection, PostgresLink, connect, domain_error
from flowdapt.stores.sources import warm

__all__ = ["PostgresBase"]

# The schema is made or migrated by one daemon at a time; any number serves that all agree on.
_SCHEMA_LOCK = 0x666C6F77


class PostgresBase(Base):
    """One database on a server; backups are the server's own business."""

    def __init__(self, url: str, *, migrations: Path = schema.MIGRATIONS) -> None:
        scheme, _, rest = url.partition("://")
        self._conninfo = f"postgresql://{rest}"
        self._migrations = migrations
        try:
            parts = conninfo_to_dict(self._conninfo)
        except psycopg.Error as error:
            raise StartRefused(
                f"database.url cannot be read: {error}",
                fix="write postgresql://user@host/database",
            ) from error
        self.url = f"{scheme}://{parts.get('host', '')}/{parts.get('dbname', '')}"

    def open(self) -> Mapping[str, str]:
        try:
            with connect(self._conninfo) as connection:
                connection.execute("SELECT pg_advisory_lock(%s)", (_SCHEMA_LOCK,))
                facts = self._current(connection)
        except psycopg.OperationalError as error:
            raise StartRefused(
                f"the database cannot be reached: {error}", fix="start it, or correct database.url"
            ) from error
        warm(POSTGRESQL)
        return facts

    def _current(self, connection: Connection) -> Mapping[str, str]:
        if not _has(connection, schema.VERSION_TABLE):
            self._create(connection)
        row = connection.execute(schema.VERSION_QUERY).fetchone()
        known = schema.known_versions(self._migrations)
        schema.refuse_newer(row[0] if row else "", known)
        if row is not None and row[0] != known[-1]:
            self._migrate()
        rows = connection.execute("SELECT key, value FROM meta").fetchall()
        return {str(key): str(value) for key, value in rows} | {"schema": known[-1]}

    @staticmethod
    def _create(connection: Connection) -> None:
        if _has(connection, "run"):
            raise CorruptStore(
                "the database has a table `run` that is not flowdapt's",
                fix="name an empty database in database.url",
            )
        with connection.transaction():
            for statement in schema.creation(POSTGRESQL):
                connection.execute(statement.encode())
            connection.execute(
                "INSERT INTO meta (key, value) VALUES ('incarnation', %s)", (secrets.token_hex(8),)
            )

    def _migrate(self) -> None:
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool

        from flowdapt.stores import migrating

        engine = create_engine(
            "postgresql+psycopg://",
            creator=lambda: psycopg.connect(self._conninfo),
            poolclass=NullPool,
        )
        with engine.begin() as connection:
            migrating.migrate(connection, migrations=self._migrations)
        engine.dispose()

    def writer(self) -> Link:
        return PostgresLink(self._conninfo)

    def reader(self) -> Link:
        return PostgresLink(self._conninfo)

    def size_bytes(self) -> int:
        try:
            with connect(self._conninfo) as connection:
                row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
        except psycopg.Error as error:
            raise domain_error(error) from error
        return int(row[0]) if row else 0

    def backup(self, target: Path) -> int:
        raise InvalidInput(
            "PostgreSQL is backed up by its own tools", fix=f"pg_dump --file {target}"
        )

    def close(self) -> None:
        """Nothing of ours is left open."""


def _has(connection: Connection, table: str) -> bool:
    row = connection.execute("SELECT to_regclass(%s)", (table,)).fetchone()
    return row is not None and row[0] is not None
