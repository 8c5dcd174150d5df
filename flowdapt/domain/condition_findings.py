"""Decide how what is wrong or doubtful about a condition is told, with a way out for each.

What is wrong is for `condition_parsing.py` to find.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from itertools import islice
from typing import Any

from flowdapt.domain.condition_operators import WORDS
from flowdapt.domain.condition_values import ValueKind, kind_of
from flowdapt.domain.errors import Problem
from flowdapt.domain.event_path import EventPath
from flowdapt.domain.positions import Loc
from flowdapt.domain.seen_event import FIELDS

__all__ = ["ITEM", "MAX_DEPTH", "MAX_NODES", "Findings"]

MAX_DEPTH = 16
MAX_NODES = 256
# What an element is called inside `any` and `all`.
ITEM = "item"

_NAMED = 3
_WORD_MAX_CHARS = 50
# Words of other languages for these operators.
_OTHER_WORDS = {
    "==": "eq", "equals": "eq", "!=": "ne", "neq": "ne", ">": "gt", "<": "lt", ">=": "ge", "gte": "ge",
    "<=": "le", "lte": "le", "&&": "and", "||": "or", "!": "not", "regex": "matches",
    "includes": "contains", "has": "contains", "some": "any", "every": "all", "$": "var",
}  # fmt: skip
_EXAMPLES = {
    **{word: f"{{{word}: [{{var: data.result.loss}}, 0.5]}}" for word in ("gt", "lt", "ge", "le")},
    **{word: f"{{{word}: [{{var: data.state}}, failed]}}" for word in ("eq", "ne")},
    **{w: f"{{{w}: [{{var: data.items}}, {{gt: [{{var: item.loss}}, 0.5]}}]}}" for w in ("any", "all")},
    "in": "{in: [{var: data.workflow}, [train, predict]]}",
    "contains": "{contains: [{var: data.result.cities}, Oslo]}",
    "matches": "{matches: [{var: data.workflow}, '^train_']}",
    "exists": "{exists: data.result.loss}",
    "var": "{var: data.state}",
    "and": "{and: [{eq: [{var: data.state}, failed]}, {exists: data.result}]}",
    "or": "{or: [{eq: [{var: data.state}, failed]}, {eq: [{var: data.state}, cancelled]}]}",
    "not": "{not: {eq: [{var: data.state}, failed]}}",
    "bool": "{bool: {var: data.partial}}",
}  # fmt: skip


class Findings:
    """What was found so far: `problems` refuse the condition, `doubts` are for a warning."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.doubts: list[Problem] = []

    def note(
        self, code: str, message: str, loc: Loc, *, near: str | None = None, fix: str | None = None
    ) -> None:
        self.problems.append(Problem(code, message, loc, near, fix))

    def no_mapping(self, kind: ValueKind, loc: Loc) -> None:
        message = f"a condition is a mapping with one operator, this is a {kind}"
        example = _EXAMPLES["eq"]
        fix = "list conditions under `and`" if kind is ValueKind.LIST else f"write {example}"
        self.note("trigger.condition_shape", message, loc, fix=fix)

    def not_one_operator(self, value: Mapping[Any, Any], loc: Loc) -> None:
        names = ", ".join(_word(key) for key in islice(value, _NAMED))
        more = ", …" if len(value) > _NAMED else ""
        holds = f"these: {names}{more}" if value else "none"
        message = f"a mapping here holds one operator, this holds {holds}"
        fix = "list conditions under `and`" if value else f"operators are {', '.join(WORDS)}"
        self.note("trigger.condition_shape", message, loc, fix=fix)

    def unknown_operator(self, key: object, loc: Loc) -> None:
        word = _word(key)
        near = _OTHER_WORDS.get(word.lower()) or next(iter(get_close_matches(word, WORDS, 1)), None)
        message = f"there is no operator {word!r}"
        fix = f"operators are {', '.join(WORDS)}"
        self.note("trigger.unknown_operator", message, (*loc, word), near=near, fix=fix)

    def too_many_nodes(self, loc: Loc) -> None:
        message = f"a condition has at most {MAX_NODES} operators and constants"
        self.note("trigger.condition_size", message, loc, fix="split it into several rules")

    def too_deep(self, loc: Loc) -> None:
        message = f"a condition is nested at most {MAX_DEPTH} levels deep"
        self.note("trigger.condition_size", message, loc, fix="make it flatter")

    def not_storable(self, value: object, loc: Loc) -> None:
        what = str(value) if isinstance(value, float) else f"a {type(value).__name__}"
        message = f"{what} is no JSON value that could be compared"
        self.note("trigger.constant", message, loc, fix="write a text or a finite number")

    def wrong_count(self, word: str, takes: str, count: int, loc: Loc) -> None:
        message = f"`{word}` takes {takes} operands, this has {count}"
        self.note("trigger.operands", message, loc, fix=_EXAMPLES.get(word))

    def wrong_kind(self, word: str, takes: Iterable[ValueKind], kind: ValueKind, loc: Loc) -> None:
        kinds = " or a ".join(sorted(takes))
        message = f"`{word}` takes a {kinds} here, this is a {kind}"
        self.note("trigger.operand_kind", message, loc, fix=_EXAMPLES.get(word))

    def no_condition(self, word: str, value: object, loc: Loc) -> None:
        message = f"`{word}` takes conditions, this is a {kind_of(value)}"
        fix = f"{{var: {value:.60}}} reads the event" if isinstance(value, str) else None
        self.note("trigger.operand_kind", message, loc, fix=fix or _EXAMPLES.get(word))

    def no_pattern(self, value: object, why: object, loc: Loc) -> None:
        message = f"{_word(value)!r} is no pattern: {why}"
        fix = "the syntax is RE2's: no look-around and no back references"
        self.note("trigger.pattern", message, loc, fix=fix)

    def no_constant_pattern(self, loc: Loc) -> None:
        message = "the pattern of `matches` is a text that the rule itself gives"
        self.note("trigger.operand_kind", message, loc, fix=_EXAMPLES["matches"])

    def no_place(self, loc: Loc) -> None:
        message = "`exists` takes one path without a default"
        self.note("trigger.operand_kind", message, loc, fix=_EXAMPLES["exists"])

    def item_outside(self, loc: Loc) -> None:
        message = f"`{ITEM}` is an element of a list: it means something only in `any` and `all`"
        self.note("trigger.path", message, loc, fix=_EXAMPLES["any"])

    # -- doubts

    def doubt_field(self, path: EventPath, loc: Loc) -> None:
        first = path.parts[0]
        message = f"no event has a field {first!r}: fields are {', '.join(FIELDS)}"
        near = next(iter(get_close_matches(first, FIELDS, 1)), f"data.{path.text}")
        self.doubts.append(Problem("trigger.unknown_path", message, loc, near))

    def doubt_idle(self, text: str, loc: Loc) -> None:
        message = f"`{text}` reads nothing of the event"
        fix = "{var: data.state} reads it"
        self.doubts.append(Problem("trigger.reads_nothing", message, loc, fix=fix))

    def doubt_types(self, loc: Loc) -> None:
        message = "no event can fulfil this: it asks for several types at once"
        fix = "join the alternatives by `or`"
        self.doubts.append(Problem("trigger.never_holds", message, loc, fix=fix))


def _word(key: object) -> str:
    return key[:_WORD_MAX_CHARS] if isinstance(key, str) else f"a {kind_of(key)}"
