"""Decide where the live copies of values are: in Ray's store, or in memory that workers here pass by name.

While all nodes stand on this machine, workers offer a large result as the memory that their child wrote; the
bridge opens it, and lends it to whoever takes the value. So it is never copied. Beyond a bound, or when a node
of another machine has come, values go to Ray's store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowdapt.plugins.executors.ray.remote import Lent
from flowdapt.runtime.areas import Area
from flowdapt.runtime.pickled import Pickled

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from flowdapt.domain.task import ValueRef
    from flowdapt.runtime.pickled import Codec

__all__ = ["Copies", "Copy"]

# Each costs a descriptor of the bridge.
_LENT_MAX = 256


class Copy:
    """One value. `ref` keeps it in the store, on a node that takes it along; or `area` is the memory itself."""

    def __init__(self, run: str, codec: Codec, ref: Any, node: str, area: Area | None) -> None:
        self.run = run
        self.codec = codec
        self.ref = ref
        self.node = node
        self.area = area

    def lent(self) -> Lent | None:
        """Return how a worker of this machine takes it; None: it is in the store."""
        if self.area is None:
            return None
        return Lent(self.area.path, self.area.inode, self.codec)

    def move(self, node: str, put: Callable[[Pickled], Any]) -> None:
        """Move it to the store, by the node that we joined, for whoever cannot open our memory."""
        area = self.area
        if area is not None:
            self.ref, self.node = put(Pickled.in_area(area, self.codec)), node
            self.area = None

    def write(self, ref: ValueRef, root: str, name: str) -> ValueRef:
        """Write it to a file below the values' root; it must be in memory here."""
        assert self.area is not None
        return Pickled.in_area(self.area, self.codec).write(ref, root, name)


class Copies(dict[str, Copy]):
    """Those of all runs, by their handles. `by_name`: everybody who takes one can open our memory."""

    def __init__(self, lends_max_bytes: int, *, by_name: bool) -> None:
        super().__init__()
        self._max_bytes = lends_max_bytes
        self.by_name = by_name

    def has_room(self) -> bool:
        """Say whether the next value may be passed by name."""
        if not self.by_name:
            return False
        lent = [copy.area.size for copy in self.values() if copy.area is not None]
        return len(lent) < _LENT_MAX and sum(lent) < self._max_bytes

    def holds(self, handle: str, nodes: Container[str]) -> bool:
        """Say whether a value can be had; `nodes` are those that live."""
        found = self.get(handle)
        return found is not None and (found.area is not None or found.node in nodes)

    def take(self, handle: str, run: str, lent: Lent) -> None:
        """Open what a worker offers; raise OSError when it went away with it."""
        area = Area.taken(lent.path, lent.inode)
        self[handle] = Copy(run, lent.codec, None, "", area)

    def forget(self, run: str) -> None:
        """Let go of the values of a run."""
        for handle in [handle for handle, copy in self.items() if copy.run == run]:
            del self[handle]
