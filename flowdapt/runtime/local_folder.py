"""Keep artifacts on this machine's disk, through directory descriptors that follow no link.

Stages may have left links, pipes and devices among their files: those are as good as nothing there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING

from flowdapt.failpoints import failpoint
from flowdapt.runtime.folders import TEMPORARY, FileInfo, Folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["LocalFolder"]

_TRASH = ".trash-"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


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
        temporary = TEMPORARY + secrets.token_hex(8)
        with self._directory(namespace, name, create=True) as directory:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(temporary, flags, 0o600, dir_fd=directory)
            try:
                with os.fdopen(descriptor, "w+b") as handle:
                    yield handle
                    handle.flush()
                    os.fsync(handle.fileno())
                failpoint("publish.before_rename")
                os.replace(temporary, file, src_dir_fd=directory, dst_dir_fd=directory)
                failpoint("publish.after_rename")
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
                count += self._sweep_one(before, TEMPORARY, namespace, name)
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
