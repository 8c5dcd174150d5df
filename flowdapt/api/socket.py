"""Decide where and how the daemon's Unix socket is made, and when it may be removed."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from pathlib import Path

from flowdapt.domain.errors import AlreadyRunning, StartRefused, UnsafeDirectory
from flowdapt.paths import SOCKET_PATH_MAX_BYTES, ensure_private_directory

__all__ = ["UnixSocket"]


class UnixSocket:
    """A bound socket of mode 0600 in a directory of our own (0700). Call it with the lock held."""

    def __init__(self, path: Path) -> None:
        if len(os.fsencode(path)) > SOCKET_PATH_MAX_BYTES:
            raise StartRefused(
                f"{path} is longer than the {SOCKET_PATH_MAX_BYTES} bytes that a socket's path may have",
                code="start.socket_path_too_long",
                fix="choose a shorter FLOWDAPT_HOME",
            )
        ensure_private_directory(path.parent, strict=True)
        _remove_stale(path)
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            self.socket.bind(str(path))
        finally:
            os.umask(before)
        self.socket.setblocking(False)
        self._identity = _identity(path)

    def close(self) -> None:
        """Close, and remove the path when it is still the socket that was bound here."""
        self.socket.close()
        with suppress(FileNotFoundError):
            if _identity(self.path) == self._identity:
                self.path.unlink()


def _identity(path: Path) -> tuple[int, int, int]:
    """Return what tells this socket from one made later; the number of an inode is used again."""
    found = path.lstat()
    return found.st_dev, found.st_ino, found.st_ctime_ns


def _remove_stale(path: Path) -> None:
    """Remove a socket that nobody serves; refuse anything else that lies there."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise UnsafeDirectory(f"{path} is not a socket", fix=f"move {path} away")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise AlreadyRunning(
        f"another daemon serves {path}", fix="stop it, or choose another FLOWDAPT_HOME"
    )
