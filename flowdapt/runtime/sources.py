"""Decide how a mapped stage reads the items of its source, slice after slice, without decoding it anew.

Scalars and the texts of JSON items are kept: no item can change them. Any other list is kept as well,
but each of its items is handed out once, so that no item sees what an earlier try did to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from flowdapt.domain.errors import BadBinding
from flowdapt.runtime import values

if TYPE_CHECKING:
    from flowdapt.domain.task import Part, ValueRef

__all__ = ["Items", "Sources", "as_items"]

_IMMUTABLE = frozenset({type(None), bool, int, float, str, bytes})
_OPEN_PARTS_MAX = 8

_read_raw_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_read = msgspec.json.Decoder().decode


class Items(Protocol):
    """What a slice needs of a source."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Any: ...


class _JsonItems:
    """Items of a JSON list, each decoded when its turn comes."""

    def __init__(self, raws: list[msgspec.Raw]) -> None:
        self._raws = raws

    def __len__(self) -> int:
        return len(self._raws)

    def __getitem__(self, index: int, /) -> Any:
        return _read(self._raws[index])


class _OnceItems:
    """Items that a body may change: one that was handed out before comes from a new decoding."""

    def __init__(self, ref: ValueRef, root: str, value: Any) -> None:
        self._ref = ref
        self._root = root
        self._items = as_items(value)
        self._given = bytearray(len(self._items))

    def __len__(self) -> int:
        return len(self._given)

    def __getitem__(self, index: int, /) -> Any:
        if self._given[index]:
            self._items = as_items(values.decode(self._ref, self._root))
            self._given = bytearray(len(self._items))
        self._given[index] = 1
        return self._items[index]


class _PartItems:
    """Items of a list in parts; a part is opened when its first item is asked for."""

    def __init__(self, parts: tuple[Part, ...], length: int, root: str) -> None:
        self._parts = parts
        self._root = root
        self._owner = [-1] * length
        for number, part in enumerate(parts):
            self._owner[part.start : part.stop] = [number] * (part.stop - part.start)
        self._open: dict[int, Items] = {}

    def __len__(self) -> int:
        return len(self._owner)

    def __getitem__(self, index: int, /) -> Any:
        number = self._owner[index]
        if number < 0:
            return None
        opened = self._open.get(number)
        if opened is None:
            opened = self._open_part(number)
        return opened[index - self._parts[number].start]

    def _open_part(self, number: int) -> Items:
        while len(self._open) >= _OPEN_PARTS_MAX:
            del self._open[next(iter(self._open))]
        opened = self._open[number] = _read_items(self._parts[number].value, self._root)
        return opened


class Sources:
    """Opens sources and keeps the last one."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._key: object = None
        self._kept: Items = ()

    def open(self, ref: ValueRef) -> Items:
        """Return the items behind a reference; raise BadBinding when it is no list."""
        key = (ref.kind, ref.location, ref.sha256, ref.data, ref.parts, ref.handle)
        if key != self._key:
            self.forget()
            self._kept = _open(ref, self._root)
            self._key = key
        return self._kept

    def forget(self) -> None:
        """Let go of what is kept."""
        self._key, self._kept = None, ()


def _open(ref: ValueRef, root: str) -> Items:
    if ref.kind == "parts" or ref.codec == "parts":
        return _PartItems(values.read_parts(ref, root), ref.length or 0, root)
    return _read_items(ref, root)


def _read_items(ref: ValueRef, root: str) -> Items:
    value = values.decode(ref, root)
    items = as_items(value)
    if set(map(type, value)) <= _IMMUTABLE:
        return items
    if ref.codec == "json":
        return _JsonItems(_read_raw_list(values.read_json(ref, root)))
    return _OnceItems(ref, root, value)


def as_items(value: Any) -> Items:
    """Return what a stage can be mapped over; raise BadBinding otherwise."""
    if isinstance(value, list | tuple | range):
        return value
    if hasattr(value, "__array__") and getattr(value, "ndim", 0) > 0 and not hasattr(value, "iloc"):
        array: Items = value
        return array
    raise BadBinding(
        f"a parameterized stage maps over a list, and gets a {type(value).__module__}.{type(value).__qualname__}",
        fix="return a list from the stage that it depends on, or name another source with map_on",
    )
