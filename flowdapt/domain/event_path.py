"""Decide how a place inside an event is written (`data.items[0].loss`) and what lies there.

Whether a missing place matters is up to conditions and to the values of actions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flowdapt.domain.condition_values import kind_of

__all__ = ["MAX_CHARS", "MAX_PARTS", "MISSING", "BadPath", "EventPath", "parse_path"]

MAX_PARTS = 32
MAX_CHARS = 256

_BARE = r"[^.\[\]\s]+"
_FIRST = re.compile(rf"(?P<bare>{_BARE})")
_BRACKETS = r"""\[(?P<index>-?[0-9]{1,6})\]|\["(?P<double>[^"]*)"\]|\['(?P<single>[^']*)'\]"""
_NEXT = re.compile(rf"\.(?P<bare>{_BARE})|{_BRACKETS}")
_INDEX = re.compile("-?[0-9]{1,6}")


class _Missing:
    """What is found where nothing lies; unlike None, which is a value."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()


class BadPath(Exception):
    """The text is no path; the message says what is wrong and `fix` what to write."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix


@dataclass(frozen=True, slots=True)
class EventPath:
    """Keys and positions from the outside in; a position may also be written as a key: `items.0`."""

    text: str
    parts: tuple[str, ...]

    def find(self, root: object) -> Any:
        """Return what lies there, MISSING if nothing does. Only mappings and lists are entered."""
        value: Any = root
        for part in self.parts:
            if type(value) is dict or isinstance(value, Mapping):
                value = value.get(part, MISSING)
            else:
                value = _at(value, part)
            if value is MISSING:
                return MISSING
        return value

    def below_first(self) -> EventPath:
        """Return the path without its first key."""
        return EventPath(self.text, self.parts[1:])


def parse_path(text: object) -> EventPath:
    """Read a path: keys after dots, positions and quoted keys in brackets; raise BadPath."""
    if not isinstance(text, str):
        raise BadPath(f"a path is a text, this is a {kind_of(text)}", "write it like data.state")
    if len(text) > MAX_CHARS:
        message = f"a path has at most {MAX_CHARS} characters, this one has {len(text)}"
        raise BadPath(message, "name what lies deeper in a shallower place of the event")
    parts: list[str] = []
    at = 0
    while at < len(text) or not parts:
        match = (_NEXT if parts else _FIRST).match(text, at)
        if match is None:
            raise _unreadable(text, at)
        parts.append(next(part for part in match.groups() if part is not None))
        at = match.end()
    if len(parts) > MAX_PARTS:
        message = f"a path has at most {MAX_PARTS} parts, this one has {len(parts)}"
        raise BadPath(message, "name what lies deeper in a shallower place of the event")
    return EventPath(text, tuple(parts))


def _unreadable(text: str, at: int) -> BadPath:
    return BadPath(
        f"{text[:100]!r} is no path: it cannot be read from character {at + 1} on",
        'write keys after dots and positions in brackets: data.items[0].loss, data["odd key"]',
    )


def _at(value: object, part: str) -> Any:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes | bytearray):
        return MISSING
    if not _INDEX.fullmatch(part):
        return MISSING
    index = int(part)
    return value[index] if -len(value) <= index < len(value) else MISSING
