"""Be the daemon's process: check where it may live, take the lock, run its parts, end with a code.

What it is made of is `parts.py`; in which order the parts live is `services/lifecycle.py`.
"""

from __future__ import annotations

import gc
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from flowdapt.daemon.choices import in_background
from flowdapt.daemon.memory import forget_memory
from flowdapt.daemon.parts import Parts
from flowdapt.domain import errors
from flowdapt.domain.display import escape_controls
from flowdapt.domain.errors import FlowdaptError, StartRefused
from flowdapt.failpoints import failpoint
from flowdapt.logs import get_log, set_up_logs
from flowdapt.paths import Paths, ensure_private_directory
from flowdapt.services.instance import InstanceLock

if TYPE_CHECKING:
    from flowdapt.settings import Settings

__all__ = ["EXIT_CODES", "exit_code_of", "main", "run_foreground"]

# How the process ends, by the first class that fits (sysexits.h where it has a word).
EXIT_CODES: Mapping[type[BaseException], int] = {
    errors.CorruptStore: 65,
    errors.NewerStore: 66,
    errors.AlreadyRunning: 73,
    errors.StoreUnwritable: 74,
    errors.StorageFull: 74,
    errors.UnsafeDirectory: 77,
    StartRefused: 78,
}
INTERNAL = 70
# Ctrl-C before the daemon listens for signals.
INTERRUPTED = 130
# The interpreter hands over between threads this often: the writer waits less for the loop.
SWITCH_S = 0.0005

log = get_log("flowdapt.daemon")


def main(overrides: Mapping[str, Any] | None = None) -> int:
    """Run the daemon in this process until it has drained; return its exit code."""
    # Imports make nothing but objects that stay: looking for garbage among them costs an eighth of
    # the start. `Parts.settle` turns the collector on.
    gc.disable()
    from flowdapt.settings import load_settings

    try:
        settings = load_settings(overrides=overrides)
    except FlowdaptError as error:
        return _complain(error)
    return run_foreground(settings)


def run_foreground(settings: Settings) -> int:
    """Run the daemon with these settings; return the exit code of the process."""
    os.umask(0o077)
    sys.setswitchinterval(SWITCH_S)
    try:
        _check(settings)
        masks: set[str] = set()
        _set_up_logs(settings, masks)
        lock = InstanceLock(settings.paths.lock_file)
    except FlowdaptError as error:
        return _complain(error)
    failpoint("up.after_lock")
    try:
        lock.describe(socket=str(settings.paths.socket))
        trio.run(_serve, settings, masks)
    except BaseException as caught:
        return _ended_by(caught, settings)
    finally:
        lock.release()
    log.info("the daemon has ended")
    return 0


def _ended_by(caught: BaseException, settings: Settings) -> int:
    from flowdapt.services.lifecycle import the_one

    error = the_one(caught)
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, FlowdaptError):
        if in_background():
            log.error("the daemon ends", code=error.exact_code, reason=error.message)
        return _complain(error)
    log.critical("the daemon ends, since a part of it failed", exc_info=error)
    if in_background():
        words = f"a part of the daemon failed: {type(error).__name__}: {error}"
        _complain(FlowdaptError(words, fix=f"look at {settings.paths.log_file}"))
    return INTERNAL


def exit_code_of(error: BaseException) -> int:
    """Return how the process ends that this error ends."""
    return next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), INTERNAL)


def _complain(error: FlowdaptError) -> int:
    lines = [f"✖ {error.message}   [{error.exact_code}]"]
    lines += [f"    {'.'.join(map(str, one.loc))}: {one.message}" for one in error.problems[1:]]
    if error.fix:
        lines.append(f"  fix:  {error.fix}")
    sys.stderr.write("\n".join(map(escape_controls, lines)) + "\n")
    return exit_code_of(error)


def _check(settings: Settings) -> None:
    paths = settings.paths
    for directory in (paths.data, paths.logs, paths.user_modules):
        ensure_private_directory(directory)
    ensure_private_directory(paths.runtime, strict=True)
    services = settings.services
    if not (services.api and services.compute and services.triggers) and settings.on_sqlite:
        raise StartRefused(
            "on SQLite one daemon runs all services",
            code="start.services",
            fix="leave services.* alone, or set database.url to a PostgreSQL",
        )


def _set_up_logs(settings: Settings, masks: set[str]) -> None:
    set_up_logs(
        level=settings.log.level,
        format_=settings.log.format,
        file=settings.paths.log_file if in_background() else None,
        mask=partial(_masked, masks),
    )


def _masked(masks: set[str], text: str) -> str:
    for value in masks:
        text = text.replace(value, "***")
    return text


async def _serve(settings: Settings, masks: set[str]) -> None:
    from flowdapt.api.server import Server

    parts = Parts(settings, masks)
    with _bound(settings.paths) as listener:
        server = Server(
            parts.app,
            listener,
            deadlines=parts.deadlines(),
            connections_max=settings.limits.connections,
            allowed_uids=settings.api.allowed_uids,
        )

        def stop() -> None:
            parts.backend.stopping.set()
            server.stop()

        services = [*parts.services(), ("api", server.run)]
        await parts.lifecycle.run(services, on_ready=parts.settle, on_end=stop)
        if parts.lifecycle.left_nothing:
            await trio.to_thread.run_sync(forget_memory, settings.paths)


@contextmanager
def _bound(paths: Paths) -> Iterator[socket.socket]:
    from flowdapt.api.socket import UnixSocket

    bound = UnixSocket(paths.socket)
    try:
        yield bound.socket
    finally:
        bound.close()
