"""Write, judge, keep and restore copies of a SQLite database."""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path

from flowdapt.domain.errors import CorruptStore, NotFound
from flowdapt.failpoints import failpoint
from flowdapt.stores.sqlite import connect

__all__ = ["file_name", "list_backups", "newest_good", "prune", "restore", "sync", "write_backup"]


def file_name(now: datetime, why: str = "") -> str:
    """Return a name that sorts by age."""
    return f"flowdapt-{now:%Y%m%dT%H%M%S}{'-' + why if why else ''}.db"


def list_backups(directory: Path) -> list[Path]:
    """Return the backups, the newest first."""
    return sorted(directory.glob("flowdapt-*.db"), reverse=True)


def write_backup(source: Path, target: Path) -> int:
    """Write a checked copy under a temporary name, then rename it; return its bytes."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with closing(connect(source)) as connection:
            connection.execute("VACUUM INTO ?", (str(temporary),))
        _settle(temporary)
        failpoint("backup.before_rename")
        temporary.rename(target)
        sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)
    return target.stat().st_size


def _settle(file: Path) -> None:
    sync(file)
    if not is_good(file):
        raise sqlite3.DatabaseError("the copy does not pass its check")


def sync(path: Path) -> None:
    """Flush a file, or the names in a directory, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_good(file: Path) -> bool:
    """Say whether a copy is a whole database with a schema."""
    try:
        with closing(
            sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        ) as connection:
            checked = connection.execute("PRAGMA integrity_check(1)").fetchone()
            version = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error:
        return False
    return bool(checked and checked[0] == "ok" and version)


def newest_good(directory: Path) -> Path | None:
    """Return the newest backup that passes its check."""
    return next((file for file in list_backups(directory) if is_good(file)), None)


def prune(directory: Path, *, keep: int) -> list[Path]:
    """Delete all but the newest `keep`; return what went."""
    surplus = list_backups(directory)[keep:]
    for file in surplus:
        file.unlink(missing_ok=True)
    return surplus


def restore(backup: Path, database: Path) -> None:
    """Put a backup in the place of the database, under a new incarnation. No daemon may run.

    What was there is kept beside it, as `<name>.before-restore`.
    """
    if not backup.is_file():
        raise NotFound(f"there is no backup {backup}", fix="flowdapt db backup writes one")
    if not is_good(backup):
        raise CorruptStore(f"the backup {backup} does not pass its check", fix="choose another one")
    fresh = database.with_name(f".{database.name}.restoring")
    fresh.unlink(missing_ok=True)
    shutil.copyfile(backup, fresh)
    fresh.chmod(0o600)
    with closing(connect(fresh)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE").fetchall()
        connection.execute(
            "UPDATE meta SET value = ? WHERE key = 'incarnation'", (secrets.token_hex(8),)
        )
    sync(fresh)
    _put_aside(database)
    fresh.rename(database)
    sync(database.parent)


def _put_aside(database: Path) -> None:
    """Keep the three files of a database together under another name."""
    for suffix in ("-wal", "-shm", ""):
        file = database.with_name(database.name + suffix)
        with suppress(FileNotFoundError):
            file.replace(database.with_name(f"{database.name}.before-restore{suffix}"))
