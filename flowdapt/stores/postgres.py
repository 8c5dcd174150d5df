"""Speak to PostgreSQL: connections, durability, time, which failures pass, and the ambiguous commit.

Whether a commit whose answer was lost took place is asked of the server by transaction id; nothing
is assumed.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from flowdapt.domain.errors import (
    Conflict,
    FlowdaptError,
    InvalidInput,
    StorageFull,
    StoreBusy,
    Unavailable,
)
from flowdapt.stores import prepared
from flowdapt.stores.dialects import POSTGRESQL
from flowdapt.stores.journal import JOURNAL
from flowdapt.stores.links import Link, Row, Tx, Verdict
from flowdapt.stores.named import Sql

__all__ = ["Connection", "PostgresLink", "connect", "domain_error"]

Connection = psycopg.Connection[tuple[Any, ...]]

SETTINGS = {
    "connect_timeout": "10",
    "keepalives": "1",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
    "application_name": "flowdapt",
    "options": "-c statement_timeout=15000 -c lock_timeout=5000 -c timezone=UTC "
    # A daemon that was stopped between two statements holds nobody up.
    "-c idle_in_transaction_session_timeout=20000",
}
RETRIES = 5
_NOW = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"


def connect(conninfo: str) -> Connection:
    """Open a connection on which we begin and end transactions ourselves."""
    return psycopg.connect(make_conninfo(conninfo, **SETTINGS), autocommit=True)


class _PostgresTx(Tx):
    name = POSTGRESQL

    def __init__(self, connection: Connection, now: int, on_write: Callable[[], None]) -> None:
        self._connection = connection
        self._now = now
        self._on_write = on_write
        self.dirty = False
        self.after: list[Callable[[], None]] = []
        self._events: list[Row] = []

    def _read(self, sql: Sql, params: Row) -> psycopg.Cursor[tuple[Any, ...]]:
        return self._connection.execute(sql.text(POSTGRESQL).encode(), params)

    def _write(self, sql: Sql, params: Row) -> psycopg.Cursor[tuple[Any, ...]]:
        self._on_write()
        self.dirty = True
        return self._read(sql, params)

    def one(self, sql: Sql, params: Row = ()) -> Row | None:
        return self._read(sql, params).fetchone()

    def all(self, sql: Sql, params: Row = ()) -> list[Row]:
        return list(self._read(sql, params).fetchall())

    def stream(self, sql: Sql, params: Row = ()) -> Iterator[Row]:
        yield from self._read(sql, params)

    def run(self, sql: Sql, params: Row = ()) -> int:
        return self._write(sql, params).rowcount

    def add(self, sql: Sql, params: Row) -> int:
        row = self._write(sql, params).fetchone()
        assert row is not None
        return int(row[0])

    def many(self, sql: Sql, rows: Sequence[Row]) -> None:
        if len(rows) == 1:
            self._write(sql, rows[0])
        elif rows:
            self._on_write()
            self.dirty = True
            with self._connection.cursor() as cursor:
                cursor.executemany(sql.text(POSTGRESQL).encode(), rows)

    def journal(self, rows: Sequence[Row]) -> None:
        # Last of all, so that the lock on the journal is held for one statement and the commit.
        self.dirty = True
        self._events += rows

    def finish(self) -> None:
        """Write what waits for the commit."""
        if self._events:
            self.lock(JOURNAL)
            self.many(prepared.WRITE_EVENT, self._events)
            self._events = []

    def select(self, text: str, params: Row = ()) -> list[Row]:
        return list(self._connection.execute(text.encode(), params).fetchall())

    def execute(self, text: str, params: Row = ()) -> int:
        self._on_write()
        self.dirty = True
        return self._connection.execute(text.encode(), params).rowcount

    def now(self) -> int:
        return self._now

    def lock(self, what: str) -> None:
        self._connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (what,))


class PostgresLink(Link):
    """One connection that is made again when it breaks."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._connection: Connection | None = connect(conninfo)
        self._transaction: str | None = None
        self._committing = False
        self._tx: _PostgresTx | None = None

    def _alive(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._drop()
            self._connection = connect(self._conninfo)
        return self._connection

    def begin(self, *, durable: bool) -> Tx:
        # Progress waits for the disk too: a server may crash under a daemon that lives, and the
        # driver of a run must not be ahead of its rows.
        return self._begin(f"BEGIN; {_NOW}")

    def begin_read(self) -> Tx:
        return self._begin(f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {_NOW}")

    def _begin(self, opening: str) -> Tx:
        self._transaction, self._committing = None, False
        connection = self._alive()
        cursor = connection.execute(opening.encode())
        while cursor.nextset():
            pass
        row = cursor.fetchone()
        assert row is not None
        self._tx = _PostgresTx(connection, int(row[0]), self._name_transaction)
        return self._tx

    def _name_transaction(self) -> None:
        """Ask for the transaction's id at the first write: the name to ask for after a lost answer."""
        if self._transaction is None:
            row = self._alive().execute("SELECT pg_current_xact_id()::text").fetchone()
            assert row is not None
            self._transaction = str(row[0])

    def commit(self) -> None:
        if self._tx is not None:
            self._tx.finish()
        self._committing = True
        self._alive().execute("COMMIT")
        self._committing = False

    def judge(self, error: Exception, attempt: int) -> Verdict:
        lost = self._roll_back()
        translated = domain_error(error)
        if lost and self._committing and self._transaction is not None:
            return self._after_lost_commit(translated, self._transaction)
        if isinstance(error, psycopg.errors.UniqueViolation):
            # Somebody else stored it in the meantime: done again, the work finds what is there.
            return Verdict(translated, retry=attempt == 0)
        if not isinstance(error, psycopg.Error):
            return Verdict(translated)
        if attempt < RETRIES and (lost or _passes(error)):
            _pause(attempt)
            return Verdict(translated, retry=True, shared=True)
        return Verdict(translated, shared=lost or isinstance(error, psycopg.OperationalError))

    def _roll_back(self) -> bool:
        """Roll back; return whether the connection is lost."""
        connection = self._connection
        if connection is not None and not connection.closed:
            with suppress(psycopg.Error):
                connection.execute("ROLLBACK")
                return False
        self._drop()
        return True

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()

    def _after_lost_commit(self, error: Exception, transaction: str) -> Verdict:
        for attempt in range(2 * RETRIES):
            _pause(attempt)
            try:
                row = (
                    self._alive()
                    .execute("SELECT pg_xact_status(%s::text::xid8)", (transaction,))
                    .fetchone()
                )
            except psycopg.Error:
                self._drop()
                continue
            status = row[0] if row else None
            if status == "committed":
                return Verdict(error, committed=True)
            if status == "aborted":
                return Verdict(error, retry=True, shared=True)
        unknown = Unavailable(
            "the database went away during a commit; whether it took place is not known yet",
            fix="ask again once the database is back",
        )
        return Verdict(unknown, shared=True)

    def tend(self, *, idle: bool) -> None:
        """The server looks after itself."""

    def close(self) -> None:
        self._drop()


def _pause(attempt: int) -> None:
    """Wait with full jitter, so that daemons do not come back in step."""
    time.sleep(random.uniform(0, min(2.0, 0.05 * 2**attempt)))  # noqa: S311 - not a secret


def _passes(error: psycopg.Error) -> bool:
    """Say whether the same work may succeed a moment later."""
    state = error.sqlstate or ""
    return state in {"40001", "40P01", "57P01", "57P02", "57P03", "53300"} or state[:2] == "08"


_BY_STATE: Mapping[str, tuple[type[FlowdaptError], str]] = {
    "53100": (StorageFull, "no space is left for the database"),
    "53200": (Unavailable, "the database server is out of memory"),
    "55P03": (StoreBusy, "another session holds a lock in the database"),
    "57014": (StoreBusy, "the database took too long over a statement"),
}


def domain_error(error: Exception) -> Exception:
    """Return what a driver's error means; errors of other kinds as they are."""
    if isinstance(error, UnicodeEncodeError | psycopg.DataError):
        return InvalidInput(f"a value cannot be stored: {error}")
    if not isinstance(error, psycopg.Error):
        return error
    if isinstance(error, psycopg.IntegrityError):
        return Conflict(f"the rows of the store refuse it: {error}")
    known = _BY_STATE.get(error.sqlstate or "")
    if known is not None:
        return known[0](f"{known[1]} ({error})")
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return Unavailable(f"the database cannot be reached ({error})", fix="start PostgreSQL")
    return Unavailable(f"the database cannot be used now ({error})", fix="look at its log")
