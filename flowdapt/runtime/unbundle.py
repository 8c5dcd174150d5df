"""Decide where a worker keeps code that travelled to it, and when it may go.

One folder per version, private to the user, there whole or not at all, and held by a lock for as long
as a process imports from it. What is in a bundle is `bundle.py`; what is found in it is `modules.py`.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import shutil
import stat
import tempfile
import threading
import time
import zipfile
from contextlib import suppress
from typing import TYPE_CHECKING

from flowdapt.domain.errors import DamagedValue, UnsafeDirectory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Unpacked", "Versions", "unpack"]

# On the disk beyond those that somebody holds, and held by one process.
KEPT_VERSIONS = 4
HELD_VERSIONS = 8
# Far above what is ever packed: a bundle is our own, its zip need not be trusted all the same.
_UNPACKED_MAX_BYTES = 1024**3
_HASH_CHARS = 64
_TEMPORARY, _BROKEN_S = ".new-", 3600.0
_LOCK = ".lock"


class Unpacked:
    """One version of the code on this machine; nobody removes it before `release`."""

    def __init__(self, folder: str, lock: int) -> None:
        self._folder = folder
        self._lock = lock

    @property
    def user_modules(self) -> str:
        """Return the folder that is the package `user_modules`, or nothing."""
        path = os.path.join(self._folder, "user_modules")
        return path if os.path.isdir(path) else ""

    @property
    def python_path(self) -> tuple[str, ...]:
        """Return the folders of the import path in their order, the plugins' last."""
        parent = os.path.join(self._folder, "path")
        numbers = sorted(int(n) for n in _names(parent) if n.isdecimal())
        paths = [os.path.join(parent, str(number)) for number in numbers]
        plugins = os.path.join(self._folder, "plugins")
        return (*paths, plugins) if os.path.isdir(plugins) else tuple(paths)

    def release(self) -> None:
        """Let the folder go when others need the room."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


class Versions:
    """The versions of the code that this process has: it holds the last few that tasks named."""

    def __init__(self, root: str = "", held: int = HELD_VERSIONS) -> None:
        self._root = root
        self._most = held
        self._one_at_a_time = threading.Lock()
        self._held: dict[str, Unpacked] = {}

    def get(self, sha256: str, data: bytes | Callable[[], bytes]) -> Unpacked:
        """Return that version, made from the bytes unless this machine has it; as `unpack` raises."""
        with self._one_at_a_time:
            found = self._held.pop(sha256, None) or unpack(sha256, data, self._root)
            self._held[sha256] = found
            while len(self._held) > self._most:
                self._held.pop(next(iter(self._held))).release()
            return found

    def close(self) -> None:
        """Let all of them go."""
        with self._one_at_a_time:
            for one in self._held.values():
                one.release()
            self._held.clear()


def unpack(sha256: str, data: bytes | Callable[[], bytes], root: str = "") -> Unpacked:
    """Return the folder with that code, made from the bytes unless it is there.

    Raise DamagedValue where the bytes are not those of the hash or leave their folder,
    UnsafeDirectory where somebody else could write below `root`.
    """
    if len(sha256) != _HASH_CHARS or not set(sha256) <= set("0123456789abcdef"):
        raise DamagedValue(f"{sha256[:80]!r} is not the hash of a bundle")
    root = root or _default_root()
    _make_private(root)
    folder = os.path.join(root, sha256)
    lock = _locked(folder + _LOCK, fcntl.LOCK_SH)
    try:
        if not os.path.isdir(folder):
            _extract(sha256, data() if callable(data) else data, root, folder)
        os.utime(folder)
    except BaseException:
        os.close(lock)
        raise
    _prune(root)
    return Unpacked(folder, lock)


def _extract(sha256: str, data: bytes, root: str, folder: str) -> None:
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DamagedValue("the code that came to this worker is not what was sent")
    new = tempfile.mkdtemp(prefix=_TEMPORARY, dir=root)
    try:
        _write_members(data, new)
        try:
            os.rename(new, folder)
        except OSError:  # another process of this worker was quicker
            if not os.path.isdir(folder):
                raise
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _write_members(data: bytes, folder: str) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > _UNPACKED_MAX_BYTES:
                raise DamagedValue("the code that came to this worker would not fit on its disk")
            for member in members:
                _write(member, archive, folder)
    except (zipfile.BadZipFile, EOFError) as error:
        raise DamagedValue(
            f"the code that came to this worker cannot be unpacked: {error}"
        ) from None


def _write(member: zipfile.ZipInfo, archive: zipfile.ZipFile, folder: str) -> None:
    parts = member.filename.split("/")
    mode = member.external_attr >> 16
    if {"", ".", ".."} & set(parts) or "\\" in member.filename or stat.S_ISLNK(mode):
        raise DamagedValue(f"{member.filename[:200]!r} is no name of a file in a bundle")
    path = os.path.join(folder, *parts)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "xb") as file:
        file.write(archive.read(member))
    os.chmod(path, 0o755 if mode & stat.S_IXUSR else 0o644)


# -- the room on the disk --------------------------------------------------------------------------


def _prune(root: str) -> None:
    """Remove versions beyond the newest few that no process holds, and what broken ones left."""
    versions = sorted(_versions(root), key=lambda found: found[1], reverse=True)
    for folder, _ in versions[KEPT_VERSIONS:]:
        with suppress(OSError):  # held by somebody, or removed by somebody else
            lock = _locked(folder + _LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                shutil.rmtree(folder, ignore_errors=True)
                os.unlink(folder + _LOCK)
            finally:
                os.close(lock)


def _versions(root: str) -> Iterator[tuple[str, float]]:
    for name in _names(root):
        path = os.path.join(root, name)
        with suppress(OSError):
            if len(name) == _HASH_CHARS:
                yield path, os.stat(path).st_mtime
            elif name.startswith(_TEMPORARY) and os.stat(path).st_mtime < time.time() - _BROKEN_S:
                shutil.rmtree(path, ignore_errors=True)


def _locked(path: str, how: int) -> int:
    """Return a descriptor that holds the lock; the file may be removed while one waits for it."""
    while True:
        lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, how)
            if os.fstat(lock).st_nlink:
                return lock
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _default_root() -> str:
    return os.path.join(tempfile.gettempdir(), f"flowdapt-code-{os.getuid()}")


def _make_private(root: str) -> None:
    os.makedirs(root, mode=0o700, exist_ok=True)
    found = os.lstat(root)
    open_to_others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or open_to_others:
        raise UnsafeDirectory(
            f"{root} is not a folder that only this user writes to",
            fix=f"remove {root}, or set TMPDIR to a private folder for the workers",
        )
