"""Decide where in a text each value of a document stands, and how large a document may be."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "FINITE",
    "FLATTER",
    "MAX_DEPTH",
    "MAX_DIGITS",
    "MAX_TEXT_BYTES",
    "Lines",
    "Loc",
    "Mark",
    "Place",
    "TextProblem",
    "refuse_unstorable",
    "unstorable_texts",
]

MAX_TEXT_BYTES = 1024 * 1024
MAX_DEPTH = 64
FINITE = "write null, or a text"
FLATTER = "write it flatter; large values belong into artifacts"
# More digits than any float or counter has; longer numbers only cost time to convert.
MAX_DIGITS = 300

Loc = tuple[str | int, ...]
# Line and column, counted from 1.
Mark = tuple[int, int]

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class TextProblem(Exception):
    """The text cannot be read on from here."""

    def __init__(self, code: str, message: str, mark: Mark, fix: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.mark = mark
        self.fix = fix


@dataclass(slots=True)
class Place:
    """Where a value begins; `keys` holds the same for the keys of a mapping."""

    mark: Mark
    children: dict[str | int, Place] = field(default_factory=dict)
    keys: dict[str | int, Mark] = field(default_factory=dict)

    def find(self, loc: Loc, *, key: bool = False) -> Mark:
        """Return where the value at `loc` begins (or its key), or the nearest thing around it."""
        place = self
        for depth, step in enumerate(loc, start=1):
            if key and depth == len(loc) and step in place.keys:
                return place.keys[step]
            below = place.children.get(step)
            if below is None:
                break
            place = below
        return place.mark


class Lines:
    """The line starts of a text."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def mark(self, offset: int) -> Mark:
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1


def refuse_unstorable(text: str, mark: Mark) -> None:
    """Raise TextProblem for a NUL or a lone surrogate: no store and no terminal takes them."""
    bad = _UNSTORABLE.search(text)
    if bad is not None:
        raise TextProblem(
            "document.bad_character",
            f"a text holds the character U+{ord(bad[0]):04X}, which cannot be stored",
            mark,
            fix="remove the character or its escape",
        )


def unstorable_texts(value: Any, loc: Loc = ()) -> Iterator[Loc]:
    """Yield where a value (of bounded depth) holds a text that cannot be stored."""
    if isinstance(value, str):
        if _UNSTORABLE.search(value):
            yield loc
    elif isinstance(value, dict):
        for key, below in value.items():
            yield from unstorable_texts(key, (*loc, key))
            yield from unstorable_texts(below, (*loc, key))
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from unstorable_texts(below, (*loc, index))
