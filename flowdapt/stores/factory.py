"""Choose the store that a URL names; what is not chosen is not imported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flowdapt.domain.errors import StartRefused, StoreUnwritable
from flowdapt.ports.clock import Clock
from flowdapt.ports.store import Store

__all__ = ["create_store", "sqlite_path"]


def sqlite_path(url: str, data_dir: Path) -> Path | None:
    """Return the file of a SQLite URL (empty: in the data directory), None for other databases."""
    if not url:
        return data_dir / "flowdapt.db"
    scheme, _, rest = url.partition("://")
    if scheme.split("+")[0] != "sqlite":
        return None
    if not rest.startswith("/") or rest == "/":
        raise StartRefused(
            f"{url!r} names no file", fix="write sqlite:///relative.db or sqlite:////absolute.db"
        )
    path = Path(rest[1:])
    return path if path.is_absolute() else data_dir / path


def create_store(
    url: str,
    *,
    data_dir: Path,
    clock: Clock,
    readers: int = 3,
    give_up: Callable[[StoreUnwritable], None] = lambda error: None,
) -> Store:
    """Return a store that is not open yet. Empty: SQLite in the data directory.

    `give_up` is told, in any thread, when the disk below a SQLite store has failed too often.
    """
    if url == "memory://":
        from flowdapt.stores.memory import MemoryStore

        return MemoryStore(clock)
    from flowdapt.stores.sql import SqlStore

    path = sqlite_path(url, data_dir)
    if path is not None:
        from flowdapt.stores.sqlite_base import SqliteBase

        return SqlStore(SqliteBase(path, clock, give_up=give_up), readers=readers)
    if url.partition("://")[0].split("+")[0] in ("postgresql", "postgres"):
        from flowdapt.stores.postgres_base import PostgresBase

        return SqlStore(PostgresBase(url), readers=readers)
    raise StartRefused(
        f"database.url {url.partition('://')[0]!r} is no database that flowdapt knows",
        fix="use sqlite:////path/to.db or postgresql://user@host/database",
    )
