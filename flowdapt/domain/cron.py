"""Decide what a cron line means on a calendar without time zones: which days, which times of day.

Seconds are counted since 1970 as if the wall clock were UTC; what becomes of them in a zone is for `zoned_line`.
"""

from __future__ import annotations

from bisect import bisect_left
from calendar import monthrange
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache

from flowdapt.domain.cron_fields import FIELDS, Field, FieldRefused, read_field
from flowdapt.domain.errors import Problem
from flowdapt.domain.timing import DAY_S

__all__ = ["CYCLE_YEARS", "MAX_CHARS", "CronLine", "Days", "days_of", "read_line"]

MAX_CHARS = 256
# In 28 years from here every date falls on every weekday, in leap years too.
CYCLE_YEARS = range(2001, 2029)
# Leap days on one weekday are 40 years apart at most (around 2100).
_MONTHS_AHEAD = 41 * 12
_FIRST_YEAR, _LAST_YEAR = 2, 9998
_1970 = date(1970, 1, 1).toordinal()
_EVERY_WEEK = sum(1 << 7 * week for week in range(6))

_NAMED = {
    "@YEARLY": "0 0 1 1 *",
    "@ANNUALLY": "0 0 1 1 *",
    "@MONTHLY": "0 0 1 * *",
    "@WEEKLY": "0 0 * * 0",
    "@DAILY": "0 0 * * *",
    "@MIDNIGHT": "0 0 * * *",
    "@HOURLY": "0 * * * *",
}


@dataclass(frozen=True, slots=True)
class Days:
    """Which days a line names. Bits: the lowest is the 1st of a month, or Monday.

    `weekdays_of_month` are (Monday = 0, nth or -1 for last). `both`: a day has to fit its number and
    its weekday; otherwise either is enough, as cron has it when neither field begins with a star.
    """

    numbers: int
    last: bool
    last_workday: bool
    weekdays: int
    weekdays_of_month: frozenset[tuple[int, int]]
    months: frozenset[int]
    both: bool

    def in_month(self, year: int, month: int) -> int:
        """Return the days of a month as bits."""
        if month not in self.months:
            return 0
        first, length = monthrange(year, month)
        by_number = self._by_number(first, length)
        by_weekday = self._by_weekday(first, length)
        found = by_number & by_weekday if self.both else by_number | by_weekday
        return found & ((1 << length) - 1)

    def _by_number(self, first: int, length: int) -> int:
        found = self.numbers
        if self.last:
            found |= 1 << (length - 1)
        if self.last_workday:
            beyond_friday = max(0, (first + length - 1) % 7 - 4)
            found |= 1 << (length - 1 - beyond_friday)
        return found

    def _by_weekday(self, first: int, length: int) -> int:
        found = (self.weekdays * _EVERY_WEEK) >> first
        for weekday, nth in self.weekdays_of_month:
            day = (weekday - first) % 7
            weeks = (length - 1 - day) // 7 if nth < 0 else nth - 1
            found |= 1 << (day + 7 * weeks)
        return found

    def holds(self, day: int) -> bool:
        """Tell whether a day, counted since 1970, is one."""
        when = date.fromordinal(day + _1970)
        return bool(self.in_month(when.year, when.month) >> (when.day - 1) & 1)

    def first(self, day: int) -> int | None:
        """Return the first day at or after one."""
        when = date.fromordinal(day + _1970)
        rest = self.in_month(when.year, when.month) >> (when.day - 1)
        if rest:
            return day + _lowest(rest)
        for year, month in _months(when, 1):
            found = self.in_month(year, month)
            if found:
                return date(year, month, 1).toordinal() - _1970 + _lowest(found)
        return None

    def last_one(self, day: int) -> int | None:
        """Return the last day at or before one."""
        when = date.fromordinal(day + _1970)
        rest = self.in_month(when.year, when.month) & ((1 << when.day) - 1)
        if rest:
            return day - when.day + rest.bit_length()
        for year, month in _months(when, -1):
            found = self.in_month(year, month)
            if found:
                return date(year, month, 1).toordinal() - _1970 + found.bit_length() - 1
        return None


@dataclass(frozen=True, slots=True)
class CronLine:
    """A line that was read. `times` are seconds of the day, ascending.

    `elapsed`: the minutes or the hours begin with a star, so the line follows elapsed time where
    clocks change; other lines keep to the wall clock.
    """

    text: str
    fields: tuple[Field, ...] = field(repr=False)
    days: Days = field(repr=False)
    times: tuple[int, ...] = field(repr=False)
    elapsed: bool

    def first(self, since: int) -> int | None:
        """Return the first second of the wall clock at or after one."""
        day, second = divmod(since, DAY_S)
        found = self.days.first(day)
        if found == day:
            place = bisect_left(self.times, second)
            if place < len(self.times):
                return day * DAY_S + self.times[place]
            found = self.days.first(day + 1)
        return None if found is None else found * DAY_S + self.times[0]

    def last(self, until: int) -> int | None:
        """Return the last second of the wall clock before one."""
        day, second = divmod(until, DAY_S)
        found = self.days.last_one(day)
        if found == day:
            place = bisect_left(self.times, second)
            if place:
                return day * DAY_S + self.times[place - 1]
            found = self.days.last_one(day - 1)
        return None if found is None else found * DAY_S + self.times[-1]

    def count(self, since: int, until: int) -> int:
        """Return how many there are in [since, until) of the wall clock, a few days at most."""
        (first, early), (last, late) = divmod(since, DAY_S), divmod(until, DAY_S)
        total = len(self.times) * sum(self.days.holds(day) for day in range(first, last))
        total -= bisect_left(self.times, early) if self.days.holds(first) else 0
        return total + (bisect_left(self.times, late) if self.days.holds(last) else 0)

    def each(self, since: int, until: int) -> Iterator[int]:
        """Yield those in [since, until) of the wall clock."""
        day: int | None = since // DAY_S
        while day is not None and (day := self.days.first(day)) is not None:
            base = day * DAY_S
            if base >= until:
                return
            times: Sequence[int] = self.times
            if base < since or base + DAY_S > until:
                times = times[bisect_left(times, since - base) : bisect_left(times, until - base)]
            for time in times:
                yield base + time
            day += 1


def read_line(text: str) -> CronLine | list[Problem]:
    """Read a line; return everything that is wrong with it instead."""
    plain = " ".join(text.upper().split())
    if len(text) > MAX_CHARS:
        return [
            Problem(
                code="schedule.line_too_long",
                message=f"the line has {len(text)} characters, more than {MAX_CHARS}",
                fix="write several lines",
            )
        ]
    parts = _NAMED.get(plain, plain).split(" ")
    if plain.startswith("@") and plain not in _NAMED:
        return [_unknown_name(plain)]
    if len(parts) != len(FIELDS):
        return [_wrong_count(parts if plain else [])]
    fields, problems = _fields(parts)
    if problems:
        return problems
    line = CronLine(plain, fields, days_of(fields), _times(fields), _follows_elapsed(fields))
    return line if _possible(line.days) else [_impossible(text)]


def _fields(parts: Sequence[str]) -> tuple[tuple[Field, ...], list[Problem]]:
    fields: list[Field] = []
    problems: list[Problem] = []
    for kind, part in zip(FIELDS, parts, strict=True):
        try:
            fields.append(read_field(kind, part))
        except FieldRefused as refused:
            problems.append(refused.problem)
    return tuple(fields), problems


def days_of(fields: Sequence[Field]) -> Days:
    """Return the days that the last three of the five fields name."""
    _, _, of_month, month, of_week = fields
    return Days(
        numbers=sum(1 << number - 1 for number in of_month.numbers),
        last=any(term.last == "L" for term in of_month.terms),
        last_workday=any(term.last == "LW" for term in of_month.terms),
        weekdays=sum(1 << day for day in {(number - 1) % 7 for number in of_week.numbers}),
        weekdays_of_month=frozenset(((t.low - 1) % 7, t.nth) for t in of_week.terms if t.nth),
        months=frozenset(month.numbers),
        both=of_month.starred or of_week.starred,
    )


def _times(fields: Sequence[Field]) -> tuple[int, ...]:
    return _product(fields[1].numbers, fields[0].numbers)


# A thousand rules each minute share one tuple of 1,440 numbers.
@lru_cache(maxsize=256)
def _product(hours: tuple[int, ...], minutes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(hour * 3600 + minute * 60 for hour in hours for minute in minutes)


def _follows_elapsed(fields: Sequence[Field]) -> bool:
    return fields[0].starred or fields[1].starred


def _possible(days: Days) -> bool:
    return any(days.in_month(year, month) for year in CYCLE_YEARS for month in sorted(days.months))


def _months(when: date, step: int) -> Iterator[tuple[int, int]]:
    """Yield the months after or before the one of a day."""
    at = when.year * 12 + when.month - 1
    for index in range(at + step, at + step * _MONTHS_AHEAD, step):
        year, month = divmod(index, 12)
        if not _FIRST_YEAR <= year <= _LAST_YEAR:
            return
        yield year, month + 1


def _lowest(bits: int) -> int:
    return (bits & -bits).bit_length() - 1


def _unknown_name(name: str) -> Problem:
    if name == "@REBOOT":
        return Problem(
            code="schedule.reboot",
            message="a rule does not fire when something starts, so there is no @reboot",
            fix="write when it should fire, such as @hourly or `0 3 * * *`",
        )
    return Problem(
        code="schedule.unknown_name",
        message=f"there is no {name[:32].lower()}",
        fix="write @hourly, @daily, @weekly, @monthly or @yearly; every few minutes is an interval: {every: 5m}",
    )


def _wrong_count(parts: Sequence[str]) -> Problem:
    if len(parts) == len(FIELDS) + 1:
        return Problem(
            code="schedule.seconds",
            message="a line has five fields, and none for seconds; this one has six",
            suggestion=" ".join(parts[1:]),
            fix="leave the seconds out; what happens every few seconds is an interval: {every: 30s}",
        )
    return Problem(
        code="schedule.field_count",
        message=f"a line has five fields: minute, hour, day of month, month, day of week; this one has {len(parts)}",
        fix="write five fields, such as `0 3 * * *`",
    )


def _impossible(text: str) -> Problem:
    return Problem(
        code="schedule.impossible",
        message=f"no day fits {text!r}, so it would never fire",
        fix="look at day of month and month together",
    )
