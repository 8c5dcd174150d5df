"""Open a SQLite store: create it, check it, migrate it after a backup, refuse what is not ours.

Never answers with an empty database where there was one: what is damaged is moved aside and named.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from flowdapt.domain.errors import CorruptStore, StoreUnwritable
from flowdapt.logs import get_log
from flowdapt.ports.clock import Clock
from flowdapt.stores import backup as backups
from flowdapt.stores import schema
from flowdapt.stores.dialects import SQLITE
from flowdapt.stores.failing import Strikes
from flowdapt.stores.links import Base, Link
from flowdapt.stores.records import micros
from flowdapt.stores.sqlite import SqliteLink, connect, make_reserve
from flowdapt.stores.sqlite_errors import domain_error

__all__ = ["SqliteBase"]

log = get_log("flowdapt.store")


class SqliteBase(Base):
    """The file, its backups beside it in `backups/`, and its reserve."""

    def __init__(
        self,
        path: Path,
        clock: Clock,
        *,
        migrations: Path = schema.MIGRATIONS,
        free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
        give_up: Callable[[StoreUnwritable], None] = lambda error: None,
    ) -> None:
        self.url = f"sqlite:///{path}"
        self._path = path
        self._clock = clock
        self._migrations = migrations
        self._free_bytes = free_bytes
        self._strikes = Strikes(path, give_up)
        self._backups = path.parent / "backups"
        self._reserve = path.with_name("reserve")
        self._sign = path.with_name(f"{path.name}.made")

    # -- opening ---------------------------------------------------------------------------------

    def open(self) -> Mapping[str, str]:
        self._make_file()
        try:
            facts = self._checked()
        except sqlite3.Error as error:
            raise self._refusal(error) from error
        make_reserve(self._reserve)
        return facts

    def _make_file(self) -> None:
        """Lay down the file with a mode of its own, whatever the umask."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            known = self._path.exists()
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
            if not known:
                # The name must survive power loss as well as what is in the file.
                backups.sync(self._path.parent)
        except OSError as error:
            raise StoreUnwritable(
                f"the database {self._path} cannot be written: {error.strerror}",
                fix="make the directory writable for this user",
            ) from error

    def _checked(self) -> Mapping[str, str]:
        has_log = self._path.with_name(f"{self._path.name}-wal").exists()
        with closing(connect(self._path)) as connection:
            if self._is_fresh(connection):
                self._create_unless_lost(connection)
            facts = self._facts(connection)
            self._recognise(facts["incarnation"], has_log=has_log)
            connection.execute("PRAGMA journal_mode=WAL").fetchall()
            clean = facts.get("clean_shutdown") == "1"
            if not clean and not has_log:
                log.warning("the database's log is gone: commits may be lost", file=str(self._path))
            self._verify(connection, thoroughly=not clean)
            version = facts["schema"]
            known = schema.known_versions(self._migrations)
            schema.refuse_newer(version, known)
        if version != known[-1]:
            self._migrate(version, known[-1])
        return self._mark(clean="0")

    @staticmethod
    def _is_fresh(connection: sqlite3.Connection) -> bool:
        row = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return bool(row[0] == 0)

    def _create_unless_lost(self, connection: sqlite3.Connection) -> None:
        """Create the schema; where a store is known to have been, an empty file is damage."""
        if self._sign.exists():
            raise sqlite3.DatabaseError("the file is empty, but it held a store")
        self._create(connection)

    @staticmethod
    def _create(connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        for statement in schema.creation(SQLITE):
            connection.execute(statement)
        rows = [("incarnation", secrets.token_hex(8)), ("clean_shutdown", "1")]
        connection.executemany("INSERT INTO meta (key, value) VALUES (?, ?)", rows)
        connection.execute("COMMIT")

    def _facts(self, connection: sqlite3.Connection) -> dict[str, str]:
        names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
        if not {"meta", "run", schema.VERSION_TABLE} <= names:
            if self._sign.exists():
                raise sqlite3.DatabaseError("it held a store, and now holds something else")
            raise CorruptStore(
                f"{self._path} is a database, but not one of flowdapt",
                fix="name another file in database.url",
            )
        version = connection.execute(schema.VERSION_QUERY).fetchone()
        facts = dict(connection.execute("SELECT key, value FROM meta").fetchall())
        return facts | {"schema": version[0] if version else ""}

    def _recognise(self, incarnation: str, *, has_log: bool) -> None:
        """Note whose store this is; a log that made it another's is damage, whole as both may be."""
        before = self._sign.read_text() if self._sign.exists() else ""
        if before == incarnation:
            return
        if has_log and len(before) == len(incarnation):
            raise sqlite3.DatabaseError("with its log it is another store than the one before")
        self._sign.touch(mode=0o600)
        self._sign.write_text(incarnation)

    def _verify(self, connection: sqlite3.Connection, *, thoroughly: bool) -> None:
        """Check the file: quickly, or in full after a stop that was not clean."""
        pragma = "integrity_check" if thoroughly else "quick_check"
        answer = connection.execute(f"PRAGMA {pragma}(1)").fetchone()
        if answer is None or answer[0] != "ok":
            raise sqlite3.DatabaseError(answer[0] if answer else "no answer to the check")

    def _refusal(self, error: sqlite3.Error) -> Exception:
        """Return what to raise; a damaged file is moved aside first."""
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return self._quarantine(error)
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
            return StoreUnwritable(
                f"the database {self._path} cannot be written: {error}",
                fix="a WAL database needs a directory that can be written",
            )
        return domain_error(error)

    def _quarantine(self, error: sqlite3.Error) -> CorruptStore:
        stamp = self._clock.now().strftime("%Y%m%dT%H%M%S")
        place = self._path.parent / f"damaged-{stamp}-{secrets.token_hex(2)}"
        place.mkdir(mode=0o700)
        for suffix in ("", "-wal", "-shm"):
            file = self._path.with_name(self._path.name + suffix)
            with suppress(FileNotFoundError):
                file.rename(place / file.name)
        self._sign.unlink(missing_ok=True)
        good = backups.newest_good(self._backups)
        offer = f"the newest good backup is {good}" if good else "there is no good backup"
        return CorruptStore(
            f"the database is damaged ({error}); it was moved to {place}; {offer}",
            fix=f"flowdapt db restore {good}" if good else "flowdapt up begins an empty store",
            details={"moved_to": str(place), "backup": str(good) if good else None},
        )

    # -- migration -------------------------------------------------------------------------------

    def _migrate(self, old: str, new: str) -> None:
        size = self.size_bytes()
        if self._free_bytes(self._path.parent) < 3 * size:
            raise StoreUnwritable(
                f"no room to back up the database before its schema goes from {old} to {new}",
                fix=f"free {3 * size // 1024**2 + 1} MiB; nothing was changed",
            )
        self.backup(self._backups / backups.file_name(self._clock.now(), f"schema-{old}"))
        migrate_file(self._path, self._migrations)

    def _mark(self, *, clean: str) -> dict[str, str]:
        with closing(connect(self._path)) as connection:
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("UPDATE meta SET value = ? WHERE key = 'clean_shutdown'", (clean,))
            return self._facts(connection)

    # -- what only SQLite can do -------------------------------------------------------------------

    def writer(self) -> Link:
        return SqliteLink(self._path, self._now, reserve=self._reserve, met=self._strikes.count)

    def reader(self) -> Link:
        return SqliteLink(self._path, self._now, met=self._strikes.count)

    def _now(self) -> int:
        return micros(self._clock.now()) or 0

    def size_bytes(self) -> int:
        files = (self._path.with_name(self._path.name + suffix) for suffix in ("", "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def backup(self, target: Path) -> int:
        try:
            return backups.write_backup(self._path, target)
        except sqlite3.Error as error:
            raise domain_error(error) from error

    def close(self) -> None:
        if self._strikes.given_up:
            return  # the next start is to look thoroughly
        with suppress(sqlite3.Error):
            self._mark(clean="1")


def migrate_file(path: Path, migrations: Path) -> None:
    """Migrate a SQLite file in one transaction: killed anywhere, it is old or new."""
    from sqlalchemy import create_engine, event
    from sqlalchemy.pool import NullPool

    from flowdapt.stores import migrating

    engine = create_engine("sqlite://", creator=lambda: connect(path), poolclass=NullPool)

    # The driver opens no transaction of its own (isolation_level None); DDL belongs into ours.
    @event.listens_for(engine, "begin")
    def _(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    with engine.connect() as connection:
        # Copying a table in batch mode drops the old one: cascades must not follow.
        driver: Any = connection.connection.driver_connection
        driver.execute("PRAGMA foreign_keys=OFF")
        with connection.begin():
            migrating.migrate(connection, migrations=migrations)
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
            if broken:
                raise CorruptStore(f"the migration leaves {len(broken)} rows without their parents")
    engine.dispose()
