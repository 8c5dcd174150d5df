"""Decide what a cluster keeps of a value: its text or pickle and its buffers, never the object itself.

So nobody but a worker unpickles, what lies under a handle never changes, and moving it copies as
little as the cluster can.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from flowdapt.runtime import lending, values
from flowdapt.runtime.areas import Area
from flowdapt.runtime.json_values import find_json
from flowdapt.runtime.layout import lay_out, pickle_in, take_apart
from flowdapt.runtime.pickling import dump

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowdapt.domain.task import ValueRef
    from flowdapt.runtime.layout import Piece

__all__ = ["Pickled"]

Codec = Literal["json", "pickle", "parts"]

# An area costs a descriptor: small values do without, and so do those beyond a number.
_AREA_MIN_BYTES = 64 * 1024
_AREAS_MAX = 256
_open_areas = 0


class Pickled:
    """One value, as it is kept and moved. `codec` is that of its reference; JSON has no buffers.

    What lies in an area is mapped when somebody here looks into it: most only pass it on.
    """

    __slots__ = ("__weakref__", "_area", "_content", "_counted", "codec")

    def __init__(self, head: Piece, buffers: Sequence[Piece] = (), codec: Codec = "pickle") -> None:
        self.codec = codec
        self._content: tuple[Piece, tuple[Piece, ...]] | None = (head, tuple(buffers))
        self._area: Area | None = None
        self._counted = False

    @classmethod
    def of(cls, value: Any) -> Pickled:
        """Return a value as it is kept; raise UnstorableResult. Its buffers stay those of the value."""
        text = find_json(value)
        return cls(*dump(value)) if text is None else cls(text, (), "json")

    @classmethod
    def in_area(cls, area: Area, codec: Codec) -> Pickled:
        """Return the value that lies in an area, as it is laid out in a file."""
        made = cls(b"", (), codec)
        made._settle(area)
        return made

    @classmethod
    def read(cls, ref: ValueRef, root: str) -> Pickled:
        """Return what a file or an inline reference holds, checked; raise DamagedValue."""
        if ref.kind == "inline":
            return cls(ref.data, (), ref.codec)
        if ref.codec != "pickle":
            return cls(values.read_json(ref, root), (), ref.codec)
        return cls(*values.read_pickle(ref, root))

    @property
    def head(self) -> Piece:
        """Its text, or its pickle."""
        return self._look()[0]

    @property
    def buffers(self) -> tuple[Piece, ...]:
        """What its pickle leaves out."""
        return self._look()[1]

    @property
    def size_bytes(self) -> int:
        """What its text, or its pickle and buffers, weigh; of an area all of it."""
        if self._content is None and self._area is not None:
            return self._area.size
        return len(self.head) + sum(memoryview(buffer).nbytes for buffer in self.buffers)

    def load(self) -> Any:
        """Return the object, new and private: it may be changed. Raise UnreadableValue."""
        if self.codec == "json":
            return msgspec.json.decode(self.head)
        return values.load_pickle(self.head, [bytearray(buffer) for buffer in self.buffers])

    def write(self, ref: ValueRef, root: str, name: str, *, durable: bool = True) -> ValueRef:
        """Write it to `name` below the values' root, without a suffix; return `ref` as a file."""
        if self.codec == "pickle":
            return values.write_pickle(ref, root, name, self.head, self.buffers, durable=durable)
        return values.write_text(ref, root, name, self.head, durable=durable)

    # -- memory that children may map ----------------------------------------------------------------

    def pieces(self) -> tuple[list[tuple[int, Piece]], int]:
        """Return how it lies in a file, and the bytes of the whole."""
        if self.codec == "pickle":
            return lay_out(self.head, self.buffers)
        return [(0, self.head)], len(self.head)

    def area(self) -> Area | None:
        """Return the area that it lies in, moving it there at first; None: too small, or too many."""
        if self._area is None and self.size_bytes >= _AREA_MIN_BYTES and _open_areas < _AREAS_MAX:
            self._settle(Area.of(self.pieces()[0]))
        return self._area

    def _settle(self, area: Area) -> None:
        global _open_areas  # noqa: PLW0603  (descriptors are the process's)
        self._area, self._content = area, None
        if area.size >= _AREA_MIN_BYTES and _open_areas < _AREAS_MAX:
            self._counted = True
            _open_areas += 1
        else:
            self._look()
            self._area = None

    def _look(self) -> tuple[Piece, tuple[Piece, ...]]:
        if self._content is None:
            area = self._area
            assert area is not None
            content = area.map() if area.size else memoryview(b"")
            if self.codec == "pickle":
                head, buffers = take_apart(content, *pickle_in(content, "what the worker made"))
                self._content = head, tuple(buffers)
            else:
                self._content = content, ()
        return self._content

    def __del__(self) -> None:
        global _open_areas  # noqa: PLW0603  (as above)
        if getattr(self, "_counted", False):
            _open_areas -= 1

    # -- the journey ---------------------------------------------------------------------------------

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        """Hand the parts to the pickler: with protocol 5 they travel beside the pickle."""
        if lending.is_on() and (area := self.area()) is not None and lending.lend(area):
            return _take, (self.codec, area.path, area.inode)
        if not isinstance(protocol, int) or protocol < 5:  # noqa: PLR2004  (pickle's number)
            parts: list[Any] = [bytes(self.head), *map(bytes, self.buffers)]
        else:
            parts = [pickle.PickleBuffer(piece) for piece in (self.head, *self.buffers)]
        return _rebuild, (self.codec, *parts)

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + self.size_bytes


def _rebuild(codec: Codec, head: Piece, *buffers: Piece) -> Pickled:
    return Pickled(memoryview(head), [memoryview(buffer) for buffer in buffers], codec)


def _take(codec: Codec, path: str, inode: int) -> Pickled:
    return Pickled.in_area(Area.taken(path, inode), codec)
