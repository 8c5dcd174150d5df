"""Decide how nothing outlives the daemon: marks on what executors start, a guard beside them, a sweep at start.

A mark is `<data directory>:<pid>.<start time of that process>:<executor>:<worker>:` in the environment of
a worker and of what it starts.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from flowdapt.runtime import guard
from flowdapt.runtime.descendants import sweep

if TYPE_CHECKING:
    from flowdapt.domain.task import WorkerEnvironment

__all__ = ["Guard", "new_mark", "sweep_stale"]

_count = itertools.count(1)


def new_mark(environment: WorkerEnvironment) -> str:
    """Return a mark for one executor of this process."""
    return f"{_directory(environment)}:{_identity(os.getpid())}:{next(_count)}:"


def sweep_stale(environment: WorkerEnvironment) -> int:
    """Kill what a daemon that is gone left behind for the same directory; blocks for some 10 ms."""
    return sweep(mark=f"{_directory(environment)}:", spare=_has_daemon)


def _has_daemon(mark: str) -> bool:
    identity = mark.split(":")[1]
    return identity == _identity(int(identity.partition(".")[0]))


def _directory(environment: WorkerEnvironment) -> str:
    return hashlib.sha256(os.path.realpath(environment.values_root).encode()).hexdigest()[:16]


def _identity(pid: int) -> str:
    """Return `pid.start`: a pid alone may come again."""
    try:
        start = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19].decode()
    except OSError:
        start = ""
    return f"{pid}.{start}"


class Guard:
    """The process that outlives a killed daemon for a moment, to end what workers started."""

    def __init__(self, mark: str) -> None:
        theirs, self._pipe = os.pipe()
        command = [sys.executable, "-I", "-S", str(guard.__file__), str(theirs), mark]
        try:
            self._process = subprocess.Popen(  # noqa: S603  (our own interpreter and script)
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs],
                start_new_session=True,
                env={},
            )
        finally:
            os.close(theirs)

    def watch(self, pid: int) -> None:
        """Tell it that a worker came."""
        self._write(f"+{pid}\n")

    def forget(self, pid: int) -> None:
        """Tell it that a worker went in order."""
        self._write(f"-{pid}\n")

    def _write(self, text: str) -> None:
        with suppress(BrokenPipeError):
            os.write(self._pipe, text.encode())

    async def close(self) -> None:
        """End it; it does nothing more."""
        self._write(".")
        os.close(self._pipe)
        with trio.move_on_after(2) as scope:
            await trio.to_thread.run_sync(self._process.wait, abandon_on_cancel=True)
        if scope.cancelled_caught:
            self._process.kill()
            self._process.wait()
