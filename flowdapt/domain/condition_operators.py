"""Decide what each operator of conditions asks of its two operands, and why it says no.

The parser and the explanation read this table; `condition_nodes.py` calls it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from flowdapt.domain.condition_values import Effort, ValueKind, equal, kind_of

__all__ = ["COMPARISONS", "WORDS", "BadPattern", "Comparing", "Pattern"]

_ANY = frozenset(ValueKind)
_ORDERED = frozenset({ValueKind.NUMBER, ValueKind.TEXT})
_HOLDING = frozenset({ValueKind.LIST, ValueKind.TEXT, ValueKind.MAPPING})
# Text is looked at faster than elements are.
_CHARS_A_LOOK = 64
MAX_TEXT_BYTES = 4096
MAX_PATTERN_CHARS = 1000
# What the engine may keep of one pattern, states that it caches included.
_PATTERN_MAX_BYTES = 2 * 1024 * 1024

Test = Callable[[Any, Any, Effort], bool]


@dataclass(frozen=True, slots=True)
class Comparing:
    """One operator over two operands.

    `left` and `right` are the kinds that a constant there may be; `unlike` says why two values can
    never match whatever they hold, None when they can.
    """

    test: Test
    unlike: Callable[[Any, Any], str | None]
    left: frozenset[ValueKind] = _ANY
    right: frozenset[ValueKind] = _ANY


def _differs(left: Any, right: Any, effort: Effort) -> bool:
    return not equal(left, right, effort)


def _ordered(compare: Callable[[Any, Any], bool]) -> Test:
    def test(left: Any, right: Any, _: Effort) -> bool:
        kind = kind_of(left)
        return kind in _ORDERED and kind is kind_of(right) and compare(left, right)

    return test


def _lies_in(sought: Any, holder: Any, effort: Effort) -> bool:
    kind = kind_of(holder)
    if kind is ValueKind.LIST:
        effort.spend(len(holder))
        return any(equal(sought, one, effort) for one in holder)
    if kind_of(sought) is not ValueKind.TEXT:
        return False
    if kind is ValueKind.TEXT:
        effort.spend(len(holder) // _CHARS_A_LOOK)
        return sought in holder
    return kind is ValueKind.MAPPING and sought in holder


def _contains(holder: Any, sought: Any, effort: Effort) -> bool:
    return _lies_in(sought, holder, effort)


def _other_kind(left: Any, right: Any) -> str | None:
    one, other = kind_of(left), kind_of(right)
    return None if one is other else f"a {one} and a {other} are never equal"


def _no_order(left: Any, right: Any) -> str | None:
    one, other = kind_of(left), kind_of(right)
    if one in _ORDERED and one is other:
        return None
    return f"a {one} and a {other} have no order: two numbers or two texts have"


def _holds_none(sought: Any, holder: Any) -> str | None:
    kind = kind_of(holder)
    if kind not in _HOLDING:
        return f"a {kind} holds nothing: a list, a text or a mapping does"
    if kind is not ValueKind.LIST and kind_of(sought) is not ValueKind.TEXT:
        return f"a {kind} holds only texts, this is a {kind_of(sought)}"
    return None


def _held_by_none(holder: Any, sought: Any) -> str | None:
    return _holds_none(sought, holder)


COMPARISONS = {
    "eq": Comparing(equal, _other_kind),
    "ne": Comparing(_differs, _other_kind),
    "gt": Comparing(_ordered(operator.gt), _no_order, _ORDERED, _ORDERED),
    "lt": Comparing(_ordered(operator.lt), _no_order, _ORDERED, _ORDERED),
    "ge": Comparing(_ordered(operator.ge), _no_order, _ORDERED, _ORDERED),
    "le": Comparing(_ordered(operator.le), _no_order, _ORDERED, _ORDERED),
    "in": Comparing(_lies_in, _holds_none, right=_HOLDING),
    "contains": Comparing(_contains, _held_by_none, left=_HOLDING),
}
# In the order in which they are listed to a person.
WORDS = (*COMPARISONS, "matches", "exists", "and", "or", "not", "bool", "any", "all", "var")


class BadPattern(Exception):
    """The text is no pattern; the message says why."""


class Pattern:
    """A regular expression on an engine whose time is linear in the text, whatever the pattern."""

    __slots__ = ("_compiled", "text")

    def __init__(self, text: str) -> None:
        """Compile, or raise BadPattern."""
        self.text = text
        self._compiled = _compiled(text)

    def test(self, value: Any, effort: Effort) -> bool:
        """Say whether the pattern matches somewhere in the value."""
        if self.unlike(value) is not None:
            return False
        effort.spend(len(value) // _CHARS_A_LOOK)
        return self._compiled.search(value.encode()) is not None

    @staticmethod
    def unlike(value: object) -> str | None:
        """Say why nothing could match; None when something could."""
        if kind_of(value) is not ValueKind.TEXT:
            return f"a pattern matches texts, this is a {kind_of(value)}"
        try:
            size = len(str(value)[: MAX_TEXT_BYTES + 1].encode())
        except UnicodeEncodeError:
            return "the text holds half a surrogate pair"
        return f"the text has more than {MAX_TEXT_BYTES:,} bytes" if size > MAX_TEXT_BYTES else None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    if len(pattern) > MAX_PATTERN_CHARS:
        raise BadPattern(f"it has more than {MAX_PATTERN_CHARS:,} characters")
    # Only rules that match pay for the engine.
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = _PATTERN_MAX_BYTES
    try:
        return re2.compile(pattern.encode(), options)
    except (re2.error, UnicodeEncodeError) as error:
        words = error.args[0] if error.args else error
        raise BadPattern(
            words.decode("utf-8", "replace") if isinstance(words, bytes) else str(words)
        ) from None
