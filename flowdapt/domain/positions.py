"""Decide where in a text each value of a document stands, and how large a document may be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["MAX_DEPTH", "MAX_DIGITS", "MAX_TEXT_BYTES", "Loc", "Mark", "Place", "TextProblem"]

MAX_TEXT_BYTES = 1024 * 1024
MAX_DEPTH = 64
# More digits than any float or counter has; longer numbers only cost time to convert.
MAX_DIGITS = 300

Loc = tuple[str | int, ...]
Mark = tuple[int, int]


class TextProblem(Exception):
    """The text cannot be read on from here. Line and column count from 1."""

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
    keys: dict[str, Mark] = field(default_factory=dict)

    def find(self, loc: Loc, *, key: bool = False) -> Mark:
        """Return where the value at `loc` begins (or its key), or the nearest thing around it."""
        place = self
        for depth, step in enumerate(loc):
            if key and depth == len(loc) - 1 and step in place.keys:
                return place.keys[str(step)]
            below = place.children.get(step)
            if below is None:
                return place.mark
            place = below
        return place.mark


def mark_of_offset(text: str, offset: int) -> Mark:
    """Return line and column of a character offset."""
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


def is_text(value: Any) -> bool:
    """Say whether a string can be stored and printed: no NUL, no lone surrogate."""
    return "\0" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)
