"""Decide where a task finds the live copies that its executor keeps: the host of its process lends them.

A copy is found by the handle of a reference. What happens when the only copy is gone is the machine's
affair: the task is lost, and whoever made the value makes it again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from flowdapt.runtime.areas import map_part

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Copy", "CopyGone", "find_copy", "lend"]


class Copy(msgspec.Struct, frozen=True, array_like=True):
    """A live copy in the memory of the host: a part of a file that this process can open."""

    handle: str
    codec: Literal["json", "pickle", "parts"]
    path: str
    offset: int
    size: int

    def map(self) -> memoryview:
        """Map it for this process alone; raise OSError."""
        return map_part(self.path, self.offset, self.size)


class CopyGone(Exception):
    """A value that only the executor had is there no more."""

    def __init__(self, handle: str) -> None:
        super().__init__(f"the value under {handle} is gone, and no file holds it")
        self.handle = handle


_lent: dict[str, Copy] = {}


def lend(copies: Iterable[Copy]) -> None:
    """Take these copies, in the place of those before, for the task that comes."""
    _lent.clear()
    _lent.update((copy.handle, copy) for copy in copies)


def find_copy(handle: str) -> Copy | None:
    """Return the copy under a handle, if one is lent."""
    return _lent.get(handle) if handle else None
