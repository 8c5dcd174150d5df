"""Decide how a process hands memory to its children, and gets some back: as files that have no name.

Whoever maps an area copy-on-write has it without a copy, and may change it without harm to others.
Such memory counts like any other; it needs no room in a temporary folder.
"""

from __future__ import annotations

import errno
import mmap
import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowdapt.runtime.layout import Piece

__all__ = ["Area", "map_part", "write_all"]

_WRITE_MAX = 1 << 30
_MADV_POPULATE_READ = 22  # which `mmap` does not name


class Area:
    """One open file without a name; it is gone with its last descriptor and mapping."""

    __slots__ = ("__weakref__", "_pid", "fd", "size")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.size = os.fstat(fd).st_size
        self._pid = os.getpid()

    @classmethod
    def of(cls, pieces: Sequence[tuple[int, Piece]]) -> Area:
        """Write pieces at their offsets."""
        fd = os.memfd_create("flowdapt", os.MFD_CLOEXEC)
        try:
            for offset, piece in pieces:
                write_all(fd, piece, offset)
            return cls(fd)
        except BaseException:
            os.close(fd)
            raise

    @classmethod
    def taken(cls, path: str, inode: int) -> Area:
        """Open what another process of this user offers; raise OSError when it is that no more."""
        area = cls(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        if area.inode != inode:
            raise FileNotFoundError(errno.ENOENT, "the memory that was offered is gone", path)
        return area

    @property
    def inode(self) -> int:
        """What tells this area from another one that got its number later."""
        return os.fstat(self.fd).st_ino

    @property
    def path(self) -> str:
        """The name under which children of this process may open it, as long as it is open here."""
        return f"/proc/{self._pid}/fd/{self.fd}"

    def map(self) -> memoryview:
        """Map it for this process alone."""
        return _mapped(self.fd, 0, self.size)

    def close(self) -> None:
        """Close the descriptor; what is mapped stays."""
        fd, self.fd = self.fd, -1
        if fd >= 0 and os.getpid() == self._pid:
            os.close(fd)

    def __del__(self) -> None:
        self.close()


def write_all(fd: int, piece: Piece, offset: int) -> None:
    """Write all bytes of a piece, wherever the kernel stops on the way; raise OSError."""
    view = memoryview(piece)
    while view:
        written = os.pwrite(fd, view[:_WRITE_MAX], offset)
        view, offset = view[written:], offset + written


def map_part(path: str, offset: int, size: int) -> memoryview:
    """Map a part that begins on a page bound, copy-on-write; raise OSError."""
    if not size:
        return memoryview(b"")
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _mapped(fd, offset, size)
    finally:
        os.close(fd)


def _mapped(fd: int, offset: int, size: int) -> memoryview:
    """Map it with all its pages at hand: one call is cheaper than a fault for each few of them."""
    mapped = mmap.mmap(fd, size, access=mmap.ACCESS_COPY, offset=offset)
    with suppress(OSError):  # Linux before 5.14
        mapped.madvise(_MADV_POPULATE_READ)
    return memoryview(mapped)
