"""Decide where and how the bytes of artifacts lie: folders two deep, files that appear whole or not at all.

On the local disk through directory descriptors that follow no link, elsewhere through fsspec. Which
names are fit and what the files mean is left to `artifact_store.py`. Names that begin with a dot are
ours: temporary files, and what callers keep beside the visible files.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
import tempfile
import time
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from flowdapt.domain.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FileInfo", "Folder", "LocalFolder", "RemoteFolder", "open_folder"]

# Stores in which a file appears at once when its upload is complete: no rename needed, or cheap.
OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "adl", "oss"})
_TEMPORARY = ".tmp-"
_TRASH = ".trash-"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file of an artifact. `modified_at` is aware UTC."""

    name: str
    size_bytes: int
    modified_at: datetime


class Folder(ABC):
    """Files as `<namespace>/<name>/<file>`. What is missing raises FileNotFoundError, but lists empty."""

    @abstractmethod
    def names(self, *parts: str) -> list[str]:
        """List the folders below, sorted."""

    @abstractmethod
    def files(self, namespace: str, name: str) -> list[FileInfo]:
        """List the visible regular files, by name."""

    @abstractmethod
    def open(self, namespace: str, name: str, file: str) -> IO[bytes]:
        """Open a regular file for reading, seekable."""

    @abstractmethod
    def write(self, namespace: str, name: str, file: str) -> AbstractContextManager[IO[bytes]]:
        """Give a file to write; it takes its place when the block ends well and is gone otherwise."""

    @abstractmethod
    def remove(self, namespace: str, name: str, file: str) -> None:
        """Delete one file."""

    @abstractmethod
    def remove_all(self, namespace: str, name: str) -> None:
        """Delete a folder with all in it."""

    @abstractmethod
    def sweep(self, older_than_s: float) -> int:
        """Delete what broken-off writes left behind; return how many things that were."""


def open_folder(url: str) -> Folder:
    """Return the folder at a path or URL; only plain URLs of one protocol are taken."""
    if "::" in url:
        raise InvalidInput(f"{url!r} chains protocols; name one place, such as s3://bucket/path")
    protocol, separator, rest = url.partition("://")
    if not separator or protocol in {"file", "local"}:
        return LocalFolder(Path(rest if separator else url))
    return RemoteFolder(url)


class LocalFolder(Folder):
    """A directory of this machine. The root may be a link that its owner made; below, none is followed."""

    def __init__(self, root: Path) -> None:
        self._root = root.expanduser().absolute()

    def names(self, *parts: str) -> list[str]:
        with self._listing(*parts) as entries:
            return sorted(
                entry.name
                for entry in entries
                if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
            )

    def files(self, namespace: str, name: str) -> list[FileInfo]:
        with self._listing(namespace, name) as entries:
            found = [(entry.name, about) for entry in entries if (about := _stat(entry))]
        return [
            FileInfo(file, about.st_size, datetime.fromtimestamp(about.st_mtime, UTC))
            for file, about in sorted(found)
            if not file.startswith(".") and stat.S_ISREG(about.st_mode)
        ]

    def open(self, namespace: str, name: str, file: str) -> IO[bytes]:
        with self._directory(namespace, name) as directory:
            try:
                # Not blocking: opening a fifo that a stage left here must not hang.
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
                descriptor = os.open(file, flags, dir_fd=directory)
            except OSError as error:
                raise _as_missing(error) from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise FileNotFoundError(errno.ENOENT, "not a regular file", file)
        return os.fdopen(descriptor, "rb")

    @contextmanager
    def write(self, namespace: str, name: str, file: str) -> Iterator[IO[bytes]]:
        temporary = _TEMPORARY + secrets.token_hex(8)
        with self._directory(namespace, name, create=True) as directory:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(temporary, flags, 0o600, dir_fd=directory)
            try:
                with os.fdopen(descriptor, "w+b") as handle:
                    yield handle
                    handle.flush()
                    os.fsync(handle.fileno())
                os.replace(temporary, file, src_dir_fd=directory, dst_dir_fd=directory)
                os.fsync(directory)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=directory)
                raise

    def remove(self, namespace: str, name: str, file: str) -> None:
        with self._directory(namespace, name) as directory:
            os.unlink(file, dir_fd=directory)

    def remove_all(self, namespace: str, name: str) -> None:
        trash = _TRASH + secrets.token_hex(8)
        with self._directory(namespace) as directory:
            # Gone for everybody at once; the bytes follow.
            os.rename(name, trash, src_dir_fd=directory, dst_dir_fd=directory)
            _delete_tree(trash, directory)

    def sweep(self, older_than_s: float) -> int:
        before = time.time() - older_than_s
        count = 0
        for namespace in self.names():
            count += self._sweep_one(before, _TRASH, namespace)
            for name in self.names(namespace):
                count += self._sweep_one(before, _TEMPORARY, namespace, name)
        return count

    def _sweep_one(self, before: float, prefix: str, *parts: str) -> int:
        with self._listing(*parts) as entries:
            old = [
                entry.name
                for entry in entries
                if entry.name.startswith(prefix)
                and (about := _stat(entry)) is not None
                and about.st_mtime < before
            ]
        if old:
            with self._directory(*parts) as directory:
                for name in old:
                    _delete_tree(name, directory)
        return len(old)

    @contextmanager
    def _directory(self, *parts: str, create: bool = False) -> Iterator[int]:
        if create:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._root, _DIRECTORY)
        try:
            for part in parts:
                below = _step_down(part, descriptor, create=create)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def _listing(self, *parts: str) -> Iterator[Iterator[os.DirEntry[str]]]:
        entries: Iterator[os.DirEntry[str]] = iter(())
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(FileNotFoundError):
                directory = stack.enter_context(self._directory(*parts))
                entries = stack.enter_context(os.scandir(directory))
            yield entries


def _stat(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None  # a temporary file took its place, or somebody deleted it


def _step_down(part: str, directory: int, *, create: bool) -> int:
    if create:
        with contextlib.suppress(FileExistsError):
            os.mkdir(part, 0o700, dir_fd=directory)
    try:
        return os.open(part, _DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
    except OSError as error:
        raise _as_missing(error) from None


def _as_missing(error: OSError) -> OSError:
    """A link, a device or a file in the place of a folder is as good as nothing there."""
    if error.errno in {errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENXIO, errno.EMLINK}:
        return FileNotFoundError(errno.ENOENT, "no such file", error.filename)
    return error


def _delete_tree(name: str, directory: int) -> None:
    if stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
        shutil.rmtree(name, dir_fd=directory)
    else:
        os.unlink(name, dir_fd=directory)


class RemoteFolder(Folder):
    """A place that fsspec knows: memory, s3, … Its credentials come from the environment, as usual there."""

    def __init__(self, url: str) -> None:
        import fsspec

        try:
            # A cached listing would hide what another worker has just written.
            self._system, self._root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        except (ValueError, ImportError) as error:
            raise InvalidInput(f"artifacts cannot be kept at {url!r}: {error}") from error
        protocols = self._system.protocol
        self._protocols = {protocols} if isinstance(protocols, str) else set(protocols)

    def names(self, *parts: str) -> list[str]:
        found = self._list(*parts)
        return sorted(name for name, entry in found.items() if entry["type"] == "directory")

    def files(self, namespace: str, name: str) -> list[FileInfo]:
        return [
            FileInfo(file, int(entry["size"] or 0), _modified(entry))
            for file, entry in sorted(self._list(namespace, name).items())
            if entry["type"] == "file"
        ]

    def open(self, namespace: str, name: str, file: str) -> IO[bytes]:
        handle: IO[bytes] = self._system.open(self._path(namespace, name, file), "rb")
        return handle

    @contextmanager
    def write(self, namespace: str, name: str, file: str) -> Iterator[IO[bytes]]:
        # Closing a half-written remote file would publish it: write here, send when complete.
        with tempfile.NamedTemporaryFile() as spool:
            yield spool
            spool.flush()
            self._send(spool.name, namespace, name, file)

    def remove(self, namespace: str, name: str, file: str) -> None:
        self._system.rm_file(self._path(namespace, name, file))

    def remove_all(self, namespace: str, name: str) -> None:
        self._system.rm(self._path(namespace, name), recursive=True)

    def sweep(self, older_than_s: float) -> int:
        return 0  # nothing is left behind: files appear when they are complete

    def _send(self, local: str, namespace: str, name: str, file: str) -> None:
        path = self._path(namespace, name, file)
        if self._protocols & OBJECT_STORES:
            self._system.put_file(local, path)
            return
        self._system.makedirs(self._path(namespace, name), exist_ok=True)
        temporary = self._path(namespace, name, _TEMPORARY + secrets.token_hex(8))
        try:
            self._system.put_file(local, temporary)
            self._system.mv(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                self._system.rm_file(temporary)
            raise

    def _list(self, *parts: str) -> dict[str, dict[str, Any]]:
        try:
            entries = self._system.ls(self._path(*parts), detail=True)
        except FileNotFoundError:
            return {}
        named = {entry["name"].rstrip("/").rpartition("/")[2]: entry for entry in entries}
        return {name: entry for name, entry in named.items() if name and not name.startswith(".")}

    def _path(self, *parts: str) -> str:
        return "/".join([self._root.rstrip("/"), *parts])


def _modified(entry: dict[str, Any]) -> datetime:
    value = entry.get("LastModified") or entry.get("mtime") or entry.get("created")
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    return datetime.fromtimestamp(float(value), UTC) if value else datetime.fromtimestamp(0, UTC)
