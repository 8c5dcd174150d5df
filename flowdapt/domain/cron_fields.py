"""Decide how one field of a cron line is read: numbers, names, ranges, steps, and the words for last and nth."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType

from flowdapt.domain.errors import Problem

__all__ = ["DAYS", "FIELDS", "MONTHS", "Field", "FieldKind", "FieldRefused", "Term", "read_field"]

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
# Cron's week begins on Sunday, and 7 is Sunday again.
DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_NTH = re.compile(r"(?P<day>[^#]*)#(?P<nth>.*)")
_LAST = re.compile(r"(?P<day>[0-7]|[A-Z]{3})L")
_NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True, eq=False)
class FieldKind:
    """One of the five fields: its name, its least and greatest number, its words."""

    name: str
    low: int
    high: int
    words: Mapping[str, int] = field(default_factory=dict)


FIELDS = (
    FieldKind("minute", 0, 59),
    FieldKind("hour", 0, 23),
    FieldKind("day of month", 1, 31),
    FieldKind(
        "month", 1, 12, MappingProxyType({m[:3].upper(): i for i, m in enumerate(MONTHS, 1)})
    ),
    FieldKind(
        "day of week", 0, 7, MappingProxyType({d[:3].upper(): i for i, d in enumerate(DAYS[:7])})
    ),
)
_OF_MONTH, _OF_WEEK = FIELDS[2], FIELDS[4]


@dataclass(frozen=True, slots=True)
class Term:
    """What stands between two commas: low to high by step.

    `nth` is 1 to 5, or -1 for the last, of a weekday in its month. `last` is `L` (the month's last
    day) or `LW` (its last from Monday to Friday); such a term has no numbers.
    """

    low: int
    high: int
    step: int = 1
    star: bool = False
    nth: int = 0
    last: str = ""

    @property
    def numbers(self) -> range:
        return range(0) if self.nth or self.last else range(self.low, self.high + 1, self.step)


@dataclass(frozen=True, slots=True)
class Field:
    """A field as it was read. `starred`: it begins with a star, which is Debian's word for any."""

    kind: FieldKind
    terms: tuple[Term, ...]

    @property
    def starred(self) -> bool:
        return self.terms[0].star

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(sorted({number for term in self.terms for number in term.numbers}))

    @property
    def is_any(self) -> bool:
        """Tell whether the field leaves nothing out."""
        return len(self.numbers) >= self.kind.high - self.kind.low + 1 or any(
            term.star and term.step == 1 for term in self.terms
        )


class FieldRefused(Exception):
    """A field cannot be read; `problem` says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def read_field(kind: FieldKind, text: str) -> Field:
    """Read a field in capitals. Raise FieldRefused with the first thing that is wrong in it."""
    return Field(kind, tuple(_term(kind, term) for term in text.split(",")))


def _term(kind: FieldKind, text: str) -> Term:
    special = _special(kind, text)
    if special is not None:
        return special
    base, slash, step_text = text.partition("/")
    step = _step(kind, text, step_text) if slash else 1
    if base == "*":
        return Term(kind.low, kind.high, step, star=True)
    first, dash, second = base.partition("-")
    low = _number(kind, first)
    if dash:
        return Term(low, _end(kind, low, first, second), step)
    return Term(low, kind.high if slash else low, step)


def _special(kind: FieldKind, text: str) -> Term | None:
    if kind is _OF_MONTH and text in ("L", "LW"):
        return Term(0, 0, last=text)
    if kind is not _OF_WEEK:
        return None
    if found := _LAST.fullmatch(text):
        day = _number(kind, found["day"])
        return Term(day, day, nth=-1)
    if found := _NTH.fullmatch(text):
        day = _number(kind, found["day"])
        return Term(day, day, nth=_nth(text, found["nth"]))
    return None


def _nth(text: str, nth: str) -> int:
    if nth not in {"1", "2", "3", "4", "5"}:
        raise FieldRefused(
            Problem(
                code="schedule.bad_nth",
                message=f"{text!r}: a weekday is the first to the fifth of its month",
                fix="write #1 to #5, or L for the last, as in FRI#2 or FRIL",
            )
        )
    return int(nth)


def _step(kind: FieldKind, text: str, step: str) -> int:
    if not _NUMBER.fullmatch(step):
        raise FieldRefused(
            Problem(
                code="schedule.bad_step",
                message=f"{text!r}: after the slash stands a number",
                fix="write a step such as */5",
            )
        )
    if int(step) == 0:
        raise FieldRefused(
            Problem(
                code="schedule.zero_step",
                message=f"{text!r} of {kind.name}: a step of 0 comes nowhere",
                fix="write a step of 1 or more",
            )
        )
    return int(step)


def _end(kind: FieldKind, low: int, first: str, second: str) -> int:
    high = _number(kind, second)
    if high >= low:
        return high
    if kind is _OF_WEEK and high == 0:
        return 7  # SAT-SUN and 5-0: the Sunday that ends the week
    # Sunday begins the week that is written out.
    top, bottom = ("SAT", "SUN") if kind is _OF_WEEK else (kind.high, kind.low)
    head = first if _number(kind, first) == _number(kind, str(top)) else f"{first}-{top}"
    tail = second if high == kind.low else f"{bottom}-{second}"
    raise FieldRefused(
        Problem(
            code="schedule.backward_range",
            message=f"the range {first}-{second} of {kind.name} runs backwards",
            suggestion=f"{head},{tail}",
            fix="write two ranges",
        )
    )


def _number(kind: FieldKind, text: str) -> int:
    if text in kind.words:
        return kind.words[text]
    if not _NUMBER.fullmatch(text):
        raise FieldRefused(_no_number(kind, text))
    number = int(text)
    if kind.low <= number <= kind.high:
        return number
    raise FieldRefused(
        Problem(
            code="schedule.out_of_range",
            message=f"{number} is no {kind.name}: it goes from {kind.low} to {kind.high}",
            suggestion=str(kind.low) if number == kind.high + 1 and kind.low == 0 else None,
            fix=f"write a number from {kind.low} to {kind.high}",
        )
    )


def _no_number(kind: FieldKind, text: str) -> Problem:
    if not text:
        return Problem(
            code="schedule.missing_value",
            message=f"a {kind.name} is missing at a comma, a dash or a slash",
            fix="write lists as 1,3, ranges as 1-5 and steps as */15",
        )
    shown = text[:32]
    near = "*" if text == "?" else _near_word(kind, text)
    return Problem(
        code="schedule.bad_value",
        message=f"{shown!r} is no {kind.name}",
        suggestion=near,
        fix="write numbers, names, a star, ranges (1-5), lists (1,3) or steps (*/15)",
    )


def _near_word(kind: FieldKind, text: str) -> str | None:
    """Find MON for MONDAY, and MAR for MRA."""
    if text[:3] in kind.words:
        return text[:3]
    near = get_close_matches(text[:8], kind.words, 1)
    return near[0] if near else None
