"""Decide how processes share values by key without a server: files in a private directory, best a tmpfs.

A key is a small file that holds a reference; a large value lies beside it and is mapped by whoever
reads it. Which strategy goes where, and what a missing key raises, is left to `objects.py`.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import stat
import time
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from flowdapt.domain.errors import DamagedValue, InvalidName, UnsafeDirectory
from flowdapt.domain.segment import check_name
from flowdapt.domain.task import ValueRef
from flowdapt.runtime import values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flowdapt.domain.task import WorkerEnvironment

__all__ = ["ClusterMemory", "FileMemory", "memory_of", "segment_of", "use_memory"]

KEY_MAX = 256
INLINE_MAX_BYTES = 16 * 1024
_SEGMENT_MAX = 100
_HASHED = "key-"
_LOCK = ".lock-"
_STRIPES = 64
# One is usual; a test session that makes a new root per test must not collect them.
_MADE_MAX = 64

_read_ref = msgspec.msgpack.Decoder(ValueRef).decode
_write_ref = msgspec.msgpack.Encoder().encode


class ClusterMemory(ABC):
    """A key space that all workers of an executor share. Names and keys arrive checked.

    A plugin's executor may bring another one: its worker extension calls `use_memory`.
    """

    @abstractmethod
    def put(self, namespace: str, key: str, value: Any) -> None:
        """Store the value under the key, whole or not at all. Raise OSError when there is no room."""

    @abstractmethod
    def get(self, namespace: str, key: str) -> Any:
        """Return the value; raise KeyError."""

    @abstractmethod
    def exists(self, namespace: str, key: str) -> bool: ...

    @abstractmethod
    def delete(self, namespace: str, key: str) -> bool:
        """Forget the key; say whether it was there."""

    def locked(self, namespace: str, key: str) -> AbstractContextManager[None]:
        """Keep other writers of the key out, in every process; the default keeps nobody out."""
        return contextlib.nullcontext()


class FileMemory(ClusterMemory):
    """Cluster memory of one machine: any process of the same user, no server, no socket.

    Readers need no lock; writers of one key hold `locked`, or a replaced value may leave a file.
    """

    def __init__(self, root: str | Path) -> None:
        self._root = Path(root)
        _make_private(self._root)

    def put(self, namespace: str, key: str, value: Any) -> None:
        path = self._path(namespace, key)
        name = f".value-{secrets.token_hex(8)}"
        ref = values.encode(value, str(path.parent), name, inline_max_bytes=INLINE_MAX_BYTES)
        try:
            old = _find(path)
            self._make_folder(path.parent)
            _publish(path, _write_ref(ref))
        except BaseException:
            _drop(path.parent, ref)
            raise
        # Whoever has mapped the old value keeps it; nobody can find it any more.
        _drop(path.parent, old)

    def get(self, namespace: str, key: str) -> Any:
        path = self._path(namespace, key)
        ref = _find(path)
        while ref is not None:
            try:
                return values.decode(ref, str(path.parent))
            except DamagedValue:
                # Replaced between the two reads? One that stays damaged is another matter.
                if (newer := _find(path)) == ref:
                    raise
                ref = newer
        raise KeyError(key)

    def exists(self, namespace: str, key: str) -> bool:
        return _find(self._path(namespace, key)) is not None

    def delete(self, namespace: str, key: str) -> bool:
        path = self._path(namespace, key)
        old = _find(path)
        path.unlink(missing_ok=True)
        _drop(path.parent, old)
        return old is not None

    @contextmanager
    def locked(self, namespace: str, key: str) -> Iterator[None]:
        path = self._path(namespace, key)
        self._make_folder(path.parent)
        stripe = hashlib.sha256(path.name.encode()).digest()[0] % _STRIPES
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path.with_name(f"{_LOCK}{stripe}"), flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def sweep(self, older_than_s: float = 3600.0) -> int:
        """Delete files that writers left which were killed on the way; return how many."""
        before = time.time() - older_than_s
        count = 0
        for folder in self._root.iterdir():
            old = [path for path in folder.glob(".*") if _is_old(path, before)]
            live = _values_of(folder) if old else set()
            for path in old:
                if path.name not in live:
                    path.unlink(missing_ok=True)
                    count += 1
        return count

    def _make_folder(self, folder: Path) -> None:
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except FileNotFoundError:
            # Somebody cleared the memory under a worker that lives on.
            _make_private(self._root)
            folder.mkdir(mode=0o700, exist_ok=True)

    def _path(self, namespace: str, key: str) -> Path:
        return self._root / check_name(namespace, "namespace") / segment_of(key)


def _is_old(path: Path, before: float) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return not path.name.startswith(_LOCK) and path.lstat().st_mtime < before
    return False


def _values_of(folder: Path) -> set[str]:
    """Return the names of the files that the folder's keys refer to."""
    names: set[str] = set()
    for path in folder.glob("[!.]*"):
        with contextlib.suppress(DamagedValue, OSError):
            ref = _find(path)
            names |= {ref.location} if ref is not None and ref.kind == "file" else set()
    return names


def _find(path: Path) -> ValueRef | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        content = file.read()
    try:
        return _read_ref(content)
    except msgspec.MsgspecError as error:
        raise DamagedValue(f"{path} is not a reference: {error}") from error


def _publish(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".tmp-{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _drop(folder: Path, ref: ValueRef | None) -> None:
    if ref is not None and ref.kind == "file":
        (folder / ref.location).unlink(missing_ok=True)


def _make_private(root: Path) -> None:
    """Make the directory, or refuse one that somebody else could read or change."""
    root.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        root.mkdir(0o700)
    about = root.lstat()
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & 0o077:
        raise UnsafeDirectory(
            f"{root} must be a directory of this user with mode 0700, and no link",
            fix=f"look at it, then remove it or run: chmod 700 {root}",
        )


def segment_of(key: str) -> str:
    """Return a safe file name for any key: the key itself where it is one, else made from its hash."""
    if not (0 < len(key) <= KEY_MAX and key.isprintable()):
        raise InvalidName(
            f"{key[:140]!r} is not a valid key", fix=f"use 1-{KEY_MAX} printable characters"
        )
    if len(key) <= _SEGMENT_MAX and not key.startswith(_HASHED):
        with contextlib.suppress(InvalidName):
            return check_name(key)
    return _HASHED + hashlib.sha256(key.encode()).hexdigest()[:40]


def _make_files(environment: WorkerEnvironment) -> ClusterMemory:
    return FileMemory(environment.memory_root)


_make: Callable[[WorkerEnvironment], ClusterMemory] = _make_files
_made: dict[str, ClusterMemory] = {}


def use_memory(make: Callable[[WorkerEnvironment], ClusterMemory]) -> None:
    """Have cluster memory made by `make` from now on in this process."""
    global _make  # noqa: PLW0603  (one worker, one memory: set once, when the worker starts)
    _make = make
    _made.clear()


def memory_of(environment: WorkerEnvironment) -> ClusterMemory:
    """Return the cluster memory of a worker's environment."""
    root = environment.memory_root
    if (found := _made.get(root)) is None:
        if len(_made) >= _MADE_MAX:
            _made.clear()
        found = _made[root] = _make(environment)
    return found
