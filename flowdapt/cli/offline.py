"""Decide how a command works on the files themselves: as their only owner, with no daemon running."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from flowdapt.domain.errors import StartRefused
from flowdapt.paths import ensure_private_directory

if TYPE_CHECKING:
    from flowdapt.ports.store import Store
    from flowdapt.settings import Settings

__all__ = ["new_store", "owned_files", "sqlite_file"]


@contextmanager
def owned_files() -> Iterator[Settings]:
    """Hold the lock of the data directory. Raise AlreadyRunning when a daemon does."""
    from flowdapt.logs import set_up_logs
    from flowdapt.services.instance import InstanceLock
    from flowdapt.settings import load_settings

    # What the parts log goes to stderr: stdout is the command's data.
    set_up_logs(level="warning")
    settings = load_settings()
    ensure_private_directory(settings.paths.data)
    lock = InstanceLock(settings.paths.lock_file)
    try:
        yield settings
    finally:
        lock.release()


def new_store(settings: Settings) -> Store:
    """Return the store of the settings, not open yet."""
    from flowdapt.secrets import Secrets
    from flowdapt.services.clock import SystemClock
    from flowdapt.stores.factory import create_store

    url = Secrets(settings.paths.secrets_file).expand(settings.database.url)
    return create_store(url, data_dir=settings.paths.data, clock=SystemClock())


def sqlite_file(settings: Settings) -> Path:
    """Return the SQLite database; StartRefused says what to do with others."""
    from flowdapt.stores.factory import sqlite_path

    found = sqlite_path(settings.database.url, settings.paths.data)
    if found is None:
        raise StartRefused(
            "the database is not SQLite", fix="use the backup and restore of the database server"
        )
    return found
