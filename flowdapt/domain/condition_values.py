"""Decide how values of events compare: by kind first, and unlike kinds never match.

Also how a value is shown to a person, and how much work one condition may cause.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

__all__ = [
    "MAX_EFFORT",
    "Effort",
    "TooMuch",
    "ValueKind",
    "equal",
    "kind_of",
    "shown",
    "too_much",
    "truth",
]

# Looks at elements by one condition on one event. The longest list that an event can hold is read
# whole by `any` and `all`; lists that multiply each other are not.
MAX_EFFORT = 200_000
_SHOWN_MAX_CHARS = 80


class ValueKind(StrEnum):
    """What a value is, in the words of JSON. `other` comes from no JSON, and matches nothing."""

    NULL = "null"
    BOOLEAN = "boolean"
    NUMBER = "number"
    TEXT = "text"
    LIST = "list"
    MAPPING = "mapping"
    OTHER = "other"


_KINDS: dict[type, ValueKind] = {
    type(None): ValueKind.NULL,
    bool: ValueKind.BOOLEAN,
    int: ValueKind.NUMBER,
    float: ValueKind.NUMBER,
    str: ValueKind.TEXT,
    list: ValueKind.LIST,
    tuple: ValueKind.LIST,
    dict: ValueKind.MAPPING,
}
_SIMPLE = (ValueKind.NULL, ValueKind.BOOLEAN, ValueKind.NUMBER, ValueKind.TEXT)


class TooMuch(Exception):
    """The condition looks at more than it may; it does not hold."""


class Effort:
    """Count the looks at elements down; raise TooMuch at the end."""

    __slots__ = ("left",)

    def __init__(self, left: int = MAX_EFFORT) -> None:
        self.left = left

    def spend(self, looks: int) -> None:
        self.left -= looks
        if self.left < 0:
            raise TooMuch


def too_much() -> str:
    """Return the reason that a condition does not hold when it looks at too much."""
    return f"it looks at more than {MAX_EFFORT:,} elements, and then never holds"


def kind_of(value: object) -> ValueKind:
    """Return what the value is; a boolean is no number."""
    return _KINDS.get(type(value)) or _kind_of_unusual(value)


def _kind_of_unusual(value: object) -> ValueKind:
    if isinstance(value, Mapping):
        return ValueKind.MAPPING
    near = next((kind for base, kind in _KINDS.items() if isinstance(value, base)), None)
    return near or ValueKind.OTHER


def truth(value: object) -> bool:
    """Return whether a value counts as true: not null, false, 0, nor an empty text, list, mapping."""
    if value is True or value is False:
        return value
    return kind_of(value) is not ValueKind.OTHER and bool(value)


def equal(left: Any, right: Any, effort: Effort) -> bool:
    """Compare deeply, without recursion: the depth of an event is not ours to choose."""
    pairs = [(left, right)]
    while pairs:
        left, right = pairs.pop()
        kind = kind_of(left)
        if kind is not kind_of(right):
            return False
        if kind in _SIMPLE:
            if left != right:
                return False
            continue
        below = _below(kind, left, right, effort)
        if below is None:
            return False
        pairs.extend(below)
    return True


def _below(
    kind: ValueKind, left: Any, right: Any, effort: Effort
) -> Sequence[tuple[Any, Any]] | None:
    """Return the pairs that have to be equal, None when no pairs can make these equal."""
    if kind is ValueKind.OTHER or len(left) != len(right):
        return None
    effort.spend(len(left))
    if kind is ValueKind.LIST:
        return list(zip(left, right, strict=True))
    if left.keys() != right.keys():
        return None
    return [(left[key], right[key]) for key in left]


def shown(value: object) -> str:
    """Return a value as a person may read it, in a few words."""
    kind = kind_of(value)
    if kind is ValueKind.OTHER:
        return "no JSON value"
    if kind in (ValueKind.LIST, ValueKind.MAPPING):
        return f"a {kind} of {len(value)}"  # type: ignore[arg-type]  # its kind says it has a length
    if kind is ValueKind.TEXT:
        return _short(json.dumps(str(value)[: _SHOWN_MAX_CHARS + 1], ensure_ascii=False))
    try:
        return _short(json.dumps(value))
    except ValueError:  # an integer of thousands of digits
        return "a number too long to show"


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_MAX_CHARS else f"{text[:_SHOWN_MAX_CHARS]}…"
