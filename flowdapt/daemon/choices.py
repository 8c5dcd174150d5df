"""Turn what a person has set into what the parts of the daemon take."""

from __future__ import annotations

import hashlib
import os
import secrets as entropy
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import trio

from flowdapt import __version__
from flowdapt.daemon.memory import make_memory_directory
from flowdapt.domain.addresses import broker_risks, database_risks
from flowdapt.domain.errors import InvalidInput, StartRefused
from flowdapt.paths import ensure_private_directory

if TYPE_CHECKING:
    from flowdapt.domain.task import WorkerEnvironment
    from flowdapt.plugins.manager import Plugins
    from flowdapt.ports.broker import Broker
    from flowdapt.services.health import About, DiskWatch
    from flowdapt.services.retention import Backups, Keeping
    from flowdapt.settings import Settings

T = TypeVar("T")

__all__ = [
    "about",
    "backups",
    "broker_class",
    "disk",
    "environment",
    "in_background",
    "keeping",
    "owner",
    "refuse_risky_broker",
    "refuse_risky_database",
]

BACKGROUND = "FLOWDAPT_BACKGROUND"


def in_background() -> bool:
    """Say whether `flowdapt up` started this process and went away."""
    return os.environ.get(BACKGROUND) == "1"


def environment(settings: Settings, plugins: Plugins) -> WorkerEnvironment:
    from flowdapt.domain.task import WorkerEnvironment

    paths = settings.paths
    work = ensure_private_directory(paths.data / "work")
    return WorkerEnvironment(
        values_root=str(ensure_private_directory(paths.data / "values")),
        artifacts_url=settings.artifacts_url,
        memory_root=str(make_memory_directory(paths)),
        user_modules=str(paths.user_modules),
        python_path=tuple(str(path.expanduser().absolute()) for path in settings.python_path),
        extensions=plugins.worker_extensions(),
        cwd=str(work),
        max_output_bytes=settings.local.max_output,
    )


def owner(settings: Settings) -> str:
    """Return the name under which this instance owns runs: `place/instance`.

    The place is this data directory on this machine, whose lock says that earlier instances are dead.
    """
    place = hashlib.sha256(f"{socket.gethostname()}:{settings.paths.data}".encode()).hexdigest()[
        :16
    ]
    return f"{place}/{os.getpid()}-{entropy.token_hex(4)}"


def in_thread(work: Callable[..., T], *given: Any, **named: Any) -> Callable[[], Awaitable[T]]:
    """Return what does the work in a thread: services wait on nothing that blocks."""

    async def run() -> T:
        return await trio.to_thread.run_sync(partial(work, *given, **named))

    return run


def refuse_risky_database(url: str, *, insecure: bool) -> None:
    """Raise StartRefused for a PostgreSQL on another machine that anyone in between could read."""
    if insecure or not url.startswith("postgres"):
        return
    risks = database_risks(url, os.environ)
    if risks:
        raise StartRefused(
            f"database.url names a PostgreSQL on another machine without {' and '.join(risks)}",
            code="start.insecure_database",
            fix="add it to database.url, or write database.insecure = true",
        )


def refuse_risky_broker(url: str, *, insecure: bool) -> None:
    """Raise StartRefused for a broker on another machine that anyone in between could read."""
    risks = [] if insecure else broker_risks(url)
    if risks:
        raise StartRefused(
            f"broker.url names a server on another machine without {' and '.join(risks)}",
            code="start.insecure_broker",
            fix="add it to broker.url, or write broker.insecure = true",
        )


def broker_class(plugins: Plugins, kind: str) -> type[Broker]:
    """Return the class for the scheme of broker.url; raise StartRefused when there is none."""
    try:
        return plugins.broker(kind)
    except InvalidInput as error:
        raise StartRefused(
            f"broker.url cannot be used: {error.message}", code="start.broker", fix=error.fix
        ) from error


def about(settings: Settings) -> About:
    from flowdapt.services.health import About

    return About(
        version=__version__,
        socket=str(settings.paths.socket),
        database=_without_password(settings.database_url),
        broker=_without_login(settings.broker.url),
        artifacts=_without_password(settings.artifacts_url),
        data_dir=str(settings.paths.data),
        log_file=str(settings.paths.log_file) if in_background() else None,
    )


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return url.replace(f":{parts.password}@", ":***@", 1)


def _without_login(url: str) -> str:
    # A login without a colon is a token of NATS.
    login = urlsplit(url).netloc.rpartition("@")[0]
    return url.replace(f"{login}@", "***@", 1) if login else url


def disk(settings: Settings) -> DiskWatch:
    from flowdapt.services.health import DiskWatch

    storage = settings.storage
    return DiskWatch(settings.paths.data, warn_bytes=storage.warn_free, min_bytes=storage.min_free)


def keeping(settings: Settings) -> Keeping:
    from flowdapt.services.retention import Keeping

    retention = settings.retention
    return Keeping(
        enabled=retention.enabled,
        max_age_s=retention.max_age,
        per_workflow=retention.keep_per_workflow,
        daily_backup=settings.backup.daily,
    )


def backups(settings: Settings) -> Backups | None:
    if not settings.on_sqlite:
        return None
    from flowdapt.services.retention import Backups
    from flowdapt.stores import backup

    directory = settings.paths.backups

    def newest() -> float | None:
        found = backup.list_backups(directory)
        return found[0].stat().st_mtime if found else None

    return Backups(
        new_file=lambda now: directory / backup.file_name(now),
        newest=in_thread(newest),
        prune=in_thread(backup.prune, directory, keep=settings.backup.keep),
    )
