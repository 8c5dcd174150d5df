"""Decide where the result of a hosted task goes: inline, to memory that its host takes over, to a file as well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from flowdapt.runtime import values
from flowdapt.runtime.areas import Area
from flowdapt.runtime.pickled import Pickled

if TYPE_CHECKING:
    from flowdapt.domain.task import TaskCall, ValueRef

__all__ = ["Keeper"]


class Keeper:
    """Makes the references of one process's results; what is large lies in an area until it is taken."""

    def __init__(self, *, shares_files: bool) -> None:
        self._shares_files = shares_files
        self._handle = ""
        self._area: Area | None = None

    def begin(self, handle: str) -> None:
        """Keep the next task's result under this handle."""
        self._handle = handle
        self._area = None

    def keep(self, value: Any, call: TaskCall, root: str, name: str) -> ValueRef:
        """Return a result's reference; raise UnstorableResult, OSError."""
        ref, content = values.shape(value, call.inline_max_bytes)
        if content is None:
            return ref
        kept = Pickled(*content, codec=ref.codec)
        self._area = Area.of(kept.pieces()[0])
        ref = msgspec.structs.replace(ref, kind="cluster", handle=self._handle)
        if self._shares_files and ref.size_bytes <= call.store_max_bytes:
            return kept.write(ref, root, name, durable=call.durable)
        return ref

    def take(self) -> Area | None:
        """Return the memory of the last result, and let go of it."""
        area, self._area = self._area, None
        return area
