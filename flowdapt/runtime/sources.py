"""Decide how a mapped stage reads the items of its source, slice after slice, without decoding it anew.

Only what no item can change is kept: scalars, and the texts of JSON items. Everything else is
decoded again for each slice, so that one item never sees what another did to it.
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


class _PartItems:
    """Items of a list in parts; a part is opened when its first item is asked for."""

    def __init__(self, parts: tuple[Part, ...], length: int, sources: Sources) -> None:
        self._parts = parts
        self._sources = sources
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
            opened, safe = self._sources.read(self._parts[number].value)
            if not safe:
                self._open.clear()
            self._open[number] = opened
        return opened[index - self._parts[number].start]


class Sources:
    """Opens sources and keeps the last one that is safe to keep."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._key: object = None
        self._kept: Items = ()

    def open(self, ref: ValueRef) -> Items:
        """Return the items behind a reference; raise BadBinding when it is no list."""
        key = (ref.kind, ref.location, ref.sha256, ref.data, ref.parts)
        if key == self._key:
            return self._kept
        if ref.kind == "parts" or ref.codec == "parts":
            items: Items = _PartItems(values.read_parts(ref, self._root), ref.length or 0, self)
            # Its own pieces may be unsafe: only the list of parts would be worth keeping.
            return items
        items, safe = self.read(ref)
        self._key, self._kept = (key, items) if safe else (None, ())
        return items

    def forget(self) -> None:
        """Let go of what is kept."""
        self._key, self._kept = None, ()

    def read(self, ref: ValueRef) -> tuple[Items, bool]:
        """Return the items and whether they may be used again."""
        value = values.decode(ref, self._root)
        items = as_items(value)
        if set(map(type, value)) <= _IMMUTABLE:
            return items, True
        if ref.codec == "json":
            return _JsonItems(_read_raw_list(values.read_json(ref, self._root))), True
        return items, False


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
