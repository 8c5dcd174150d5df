"""Speak to SQLite: connections and their pragmas, durability, checkpoints, what its errors mean."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from flowdapt.domain.errors import (
    StorageFull,
    StoreBusy,
    Unavailable,
)
from flowdapt.stores import prepared
from flowdapt.stores.dialects import SQLITE
from flowdapt.stores.links import Link, Row, Tx, Verdict
from flowdapt.stores.named import Sql
from flowdapt.stores.sqlite_errors import KINDS, domain_error, primary_code

__all__ = ["SqliteLink", "connect", "make_reserve"]

BUSY_TIMEOUT_S = 5.0
RESERVE_BYTES = 16 * 1024 * 1024
# Transactions after which a checkpoint is due: sooner when nobody waits for it.
CHECKPOINT_WHEN_IDLE = 400
CHECKPOINT_WHEN_BUSY = 4000
# SQLite's own limit, in pages of 4 KiB, for commits that are larger than those.
AUTOCHECKPOINT_PAGES = 4000
# After how many transactions to look at the size of the log, and how long to wait for readers.
LOOK_EVERY = 32
CUT_PATIENCE_MS = 250
CUT_PATIENCE_MAX_MS = 8000
# How often to look whether the reserve can be laid again.
ROOM_EVERY_S = 30.0
WAL_TRUNCATE_BYTES = 24 * 1024 * 1024
# Ever another value: SQLite writes no page to which nothing changes.
SIGN_LOG = (
    "INSERT INTO meta (key, value) VALUES ('log', hex(randomblob(8))) "
    "ON CONFLICT (key) DO UPDATE SET value = excluded.value"
)


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open a database with what every connection of ours has."""
    mode = "ro" if read_only else "rw"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        cached_statements=256,
        check_same_thread=False,
    )
    try:
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA temp_store=MEMORY")
        # The system keeps the pages as well: a larger cache of our own only makes the daemon grow for
        # its first ten thousand runs.
        connection.execute("PRAGMA cache_size=-1024")
    except BaseException:
        connection.close()
        raise
    return connection


class _SqliteTx(Tx):
    name = SQLITE

    def __init__(self, connection: sqlite3.Connection, now: Callable[[], int]) -> None:
        self._connection = connection
        self._execute = connection.execute
        self._now = now
        self.dirty = False
        self.after: list[Callable[[], None]] = []

    def one(self, sql: Sql, params: Row = ()) -> Row | None:
        row: Row | None = self._execute(sql.text(SQLITE), params).fetchone()
        return row

    def all(self, sql: Sql, params: Row = ()) -> list[Row]:
        return self._execute(sql.text(SQLITE), params).fetchall()

    def stream(self, sql: Sql, params: Row = ()) -> Iterator[Row]:
        cursor = self._execute(sql.text(SQLITE), params)
        try:
            yield from cursor
        finally:
            cursor.close()

    def run(self, sql: Sql, params: Row = ()) -> int:
        self.dirty = True
        return self._execute(sql.text(SQLITE), params).rowcount

    def add(self, sql: Sql, params: Row) -> int:
        self.dirty = True
        row = self._execute(sql.text(SQLITE), params).fetchall()[0]
        return int(row[0])

    def many(self, sql: Sql, rows: Sequence[Row]) -> None:
        self.dirty = True
        if len(rows) == 1:
            self._execute(sql.text(SQLITE), rows[0])
        elif rows:
            self._connection.executemany(sql.text(SQLITE), rows)

    def journal(self, rows: Sequence[Row]) -> None:
        self.many(prepared.WRITE_EVENT, rows)

    def select(self, text: str, params: Row = ()) -> list[Row]:
        return self._execute(text, params).fetchall()

    def execute(self, text: str, params: Row = ()) -> int:
        self.dirty = True
        return self._execute(text, params).rowcount

    def now(self) -> int:
        return self._now()

    def lock(self, what: str) -> None:
        """Nobody else writes between BEGIN IMMEDIATE and COMMIT."""


class SqliteLink(Link):
    """One connection; the writer's also checkpoints and keeps the reserve file.

    `met` hears of every error, also of those that another try mends.
    """

    def __init__(
        self,
        path: Path,
        now: Callable[[], int],
        *,
        reserve: Path | None = None,
        met: Callable[[BaseException], None] = lambda error: None,
    ) -> None:
        self._path = path
        self._now = now
        self._reserve = reserve
        self._met = met
        self._connection = connect(path)
        self._suspect = False
        self._full: bool | None = None
        self._patient = True
        self._writes = 0
        self._looked_for_room = 0.0
        self._log = path.with_name(path.name + "-wal")
        self._cut_not_before = 0.0
        self._cut_patience_ms = CUT_PATIENCE_MS
        self._prepare()

    def _prepare(self) -> None:
        execute = self._connection.execute
        self._full = None
        self._patient = True
        if self._reserve is None:
            execute("PRAGMA query_only=ON")
            return
        execute(f"PRAGMA wal_autocheckpoint={AUTOCHECKPOINT_PAGES}")
        execute(f"PRAGMA journal_size_limit={WAL_TRUNCATE_BYTES}")
        self._sign_log()

    def _sign_log(self) -> None:
        """Let the log begin with the page that says whose it is: the log of another store is told by it."""
        with suppress(sqlite3.Error):
            self._connection.execute(SIGN_LOG)

    def _renew(self) -> None:
        """After an I/O error a connection may be of no use: take a new one, as often as it takes."""
        if self._suspect:
            self._connection.close()
            self._connection = connect(self._path)
            self._prepare()
            self._suspect = False

    def begin(self, *, durable: bool) -> Tx:
        self._renew()
        execute = self._connection.execute
        if durable is not self._full:
            # Outside a transaction, or it would have no effect.
            execute("PRAGMA synchronous=FULL" if durable else "PRAGMA synchronous=NORMAL")
            self._full = durable
        self._become_patient()
        execute("BEGIN IMMEDIATE")
        self._writes += 1
        return _SqliteTx(self._connection, self._now)

    def begin_quickly(self) -> Tx | None:
        if self._suspect:
            return None
        try:
            return self._begin_at_once()
        except sqlite3.Error as error:
            self._met(error)
            # Somebody else holds the lock, or the connection is in trouble: the thread can wait.
            return None

    def _begin_at_once(self) -> Tx:
        execute = self._connection.execute
        if self._full is not False:
            execute("PRAGMA synchronous=NORMAL")
            self._full = False
        if self._patient:
            # A write of the loop's must neither find itself flushing the log nor wait for a lock.
            execute("PRAGMA wal_autocheckpoint=0")
            execute("PRAGMA busy_timeout=0")
            self._patient = False
        execute("BEGIN IMMEDIATE")
        self._writes += 1
        return _SqliteTx(self._connection, self._now)

    def _become_patient(self) -> None:
        if not self._patient:
            self._connection.execute(f"PRAGMA wal_autocheckpoint={AUTOCHECKPOINT_PAGES}")
            self._connection.execute(f"PRAGMA busy_timeout={int(BUSY_TIMEOUT_S * 1000)}")
            self._patient = True

    def begin_read(self) -> Tx:
        self._renew()
        self._connection.execute("BEGIN")
        return _SqliteTx(self._connection, self._now)

    def commit(self) -> None:
        self._connection.execute("COMMIT")

    def judge(self, error: Exception, attempt: int) -> Verdict:
        with suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        self._met(error)
        translated = domain_error(error)
        if isinstance(translated, StorageFull):
            return Verdict(translated, retry=attempt == 0 and self._free_reserve(), shared=True)
        if isinstance(translated, StoreBusy):
            return Verdict(translated, shared=True)
        if isinstance(translated, Unavailable) and primary_code(error) in KINDS:
            self._suspect = True
            return Verdict(translated, retry=attempt == 0, shared=True)
        return Verdict(translated)

    def tend(self, *, idle: bool) -> None:
        if self._suspect:
            return
        try:
            if self._writes >= (CHECKPOINT_WHEN_IDLE if idle else CHECKPOINT_WHEN_BUSY):
                self._writes = 0
                self._become_patient()
                self._checkpoint("PASSIVE")
                self._restore_reserve()
            elif self._writes % LOOK_EVERY == 0:
                self._shorten_log()
        except (sqlite3.Error, OSError) as error:
            self._met(error)

    def _checkpoint(self, mode: str) -> bool:
        """Return whether it went through; readers may have been in the way."""
        row = self._connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        if row[0] == 0:
            self._sign_log()
        return bool(row[0] == 0)

    def _shorten_log(self) -> None:
        """Cut a log that readers kept from being used again, waiting for them a little.

        Readers that overlap leave no moment of their own: nobody writes while they are waited for, so
        that those who begin meanwhile do not need the log. In vain it is waited longer the next time.
        """
        now = time.monotonic()
        if now < self._cut_not_before or self._log.stat().st_size < WAL_TRUNCATE_BYTES:
            return
        self._become_patient()
        self._connection.execute(f"PRAGMA busy_timeout={self._cut_patience_ms}")
        try:
            if self._checkpoint("TRUNCATE"):
                self._cut_patience_ms = CUT_PATIENCE_MS
            else:
                self._cut_not_before = now + 1.0
                self._cut_patience_ms = min(2 * self._cut_patience_ms, CUT_PATIENCE_MAX_MS)
        finally:
            self._connection.execute(f"PRAGMA busy_timeout={int(BUSY_TIMEOUT_S * 1000)}")

    def _free_reserve(self) -> bool:
        if self._reserve is None or not self._reserve.exists():
            return False
        self._reserve.unlink(missing_ok=True)
        return True

    def _restore_reserve(self) -> None:
        if self._reserve is None or self._reserve.exists():
            return
        if time.monotonic() - self._looked_for_room < ROOM_EVERY_S:
            return
        self._looked_for_room = time.monotonic()
        if shutil.disk_usage(self._path.parent).free > 8 * RESERVE_BYTES:
            make_reserve(self._reserve)

    def close(self) -> None:
        with suppress(sqlite3.Error):
            if self._reserve is not None:
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._connection.close()


def make_reserve(path: Path) -> None:
    """Lay 16 MiB aside: they are given up at ENOSPC, so that state can still be written."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
        except OSError:
            path.unlink(missing_ok=True)
        finally:
            os.close(descriptor)
