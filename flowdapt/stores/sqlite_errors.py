"""Decide what SQLite's errors mean to whoever asked."""

from __future__ import annotations

import sqlite3
from typing import Any

from flowdapt.domain.errors import (
    Conflict,
    FlowdaptError,
    InvalidInput,
    StorageFull,
    StoreBusy,
    Unavailable,
)

__all__ = ["KINDS", "domain_error", "primary_code"]

KINDS: dict[int, type[FlowdaptError]] = {
    sqlite3.SQLITE_FULL: StorageFull,
    sqlite3.SQLITE_BUSY: StoreBusy,
    sqlite3.SQLITE_LOCKED: StoreBusy,
    sqlite3.SQLITE_READONLY: Unavailable,
    sqlite3.SQLITE_IOERR: Unavailable,
    sqlite3.SQLITE_CANTOPEN: Unavailable,
    sqlite3.SQLITE_CORRUPT: Unavailable,
    sqlite3.SQLITE_NOTADB: Unavailable,
    sqlite3.SQLITE_PROTOCOL: StoreBusy,
    sqlite3.SQLITE_NOMEM: Unavailable,
}
_SENTENCES: dict[type[FlowdaptError], tuple[str, str]] = {
    StorageFull: ("no space is left for the database", "free disk space; work goes on by itself"),
    StoreBusy: (
        "another process holds the database's write lock",
        "end whatever else has the database open for writing",
    ),
    Unavailable: ("the database cannot be used now", "look at the disk, then `flowdapt doctor`"),
}


def primary_code(error: Exception) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def domain_error(error: Exception) -> Exception:
    """Return what a driver's error means; errors of other kinds as they are."""
    if isinstance(error, UnicodeEncodeError | OverflowError):
        return InvalidInput(f"a value cannot be stored: {error}")
    if not isinstance(error, sqlite3.Error):
        return error
    if isinstance(error, sqlite3.IntegrityError):
        return Conflict(f"the rows of the store refuse it: {error}")
    kind = KINDS.get(primary_code(error), Unavailable)
    sentence, fix = _SENTENCES[kind]
    details: dict[str, Any] = {"sqlite": getattr(error, "sqlite_errorname", "")}
    return kind(f"{sentence} ({error})", fix=fix, details=details)
