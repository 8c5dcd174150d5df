"""Decide who owns a data directory: the process that holds its lock. A lock of the dead is free.

The kernel lets go of it with the process, however that ends; what the file says is for people.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

from flowdapt.domain.errors import AlreadyRunning, StoreUnwritable, UnsafeDirectory

__all__ = ["InstanceLock", "read_holder"]

_HOLDER_MAX_BYTES = 4096


class InstanceLock:
    """The lock of one data directory. Raise AlreadyRunning naming the holder when it is taken."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = _opened(path)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise _held(path) from None

    def describe(self, **about: Any) -> None:
        """Write who holds the lock, for people and for the message to the next one."""
        text = json.dumps({"pid": os.getpid(), **about}).encode()
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text, 0)

    def release(self) -> None:
        """Let go. The file stays: removing it would let two processes lock two files."""
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def read_holder(path: Path) -> dict[str, Any]:
    """Return what the holder wrote, or nothing; it may have ended since."""
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(_HOLDER_MAX_BYTES))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _opened(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o600)
    except PermissionError:
        raise StoreUnwritable(
            f"{path} cannot be written", fix=f"chmod u+rw {path}, or remove it"
        ) from None
    except OSError as error:
        raise UnsafeDirectory(
            f"{path} is not a regular file ({error.strerror})", fix=f"move {path} away"
        ) from None
    return descriptor


def _held(path: Path) -> AlreadyRunning:
    holder = read_holder(path)
    pid = holder.get("pid")
    who = f"process {pid}" if isinstance(pid, int) else "another process"
    return AlreadyRunning(
        f"a daemon already runs on {path.parent} ({who})",
        fix="flowdapt status  shows it,  flowdapt down  stops it",
        details={"pid": pid, "socket": holder.get("socket")},
    )
