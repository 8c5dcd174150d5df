"""Decide when a rule of cron lines in a time zone fires: any of its lines, each instant once.

`cron` reads a line, `zoned_line` carries it through a zone's changes, `cron_words` tells it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import merge
from itertools import islice

from flowdapt.domain.cron import CYCLE_YEARS, CronLine, read_line
from flowdapt.domain.errors import Problem, ScheduleError
from flowdapt.domain.timing import MAX_COUNTED, Times
from flowdapt.domain.zoned_line import ZonedLine
from flowdapt.domain.zones import zone_of, zone_problem

__all__ = ["MAX_LINES", "Schedule", "ScheduleError", "parse_schedule"]

MAX_LINES = 32
# Of 28 years, seven are leap years.
_CYCLE_DAYS = len(CYCLE_YEARS) * 365 + len(CYCLE_YEARS) // 4


@dataclass(frozen=True, slots=True)
class Schedule(Times):
    """Cron lines in one time zone."""

    lines: tuple[ZonedLine, ...]
    timezone: str

    def in_words(self) -> str:
        from flowdapt.domain.cron_words import words_of

        words = dict.fromkeys(words_of(one.line) for one in self.lines)
        return f"{'; '.join(words)} ({self.timezone})"

    def per_day(self) -> float:
        return _fires_in_a_cycle([one.line for one in self.lines]) / _CYCLE_DAYS

    def warnings(self) -> list[str]:
        from flowdapt.domain.cron_doubts import doubts_of

        lines = [one.line for one in self.lines]
        twice = [text for text, times in Counter(line.text for line in lines).items() if times > 1]
        found = [doubt for line in dict.fromkeys(lines) for doubt in doubts_of(line)]
        return [*found, *(f"`{text}` stands there twice; it fires once" for text in twice)]

    def _first(self, since: int, until: int) -> int | None:
        found = [one.first(since, until) for one in self.lines]
        return min((slot for slot in found if slot is not None), default=None)

    def _last(self, since: int, until: int) -> int | None:
        found = [one.last(since, until) for one in self.lines]
        return max((slot for slot in found if slot is not None), default=None)

    def _each(self, since: int, until: int) -> Iterator[int]:
        before = None
        for slot in merge(*(one.each(since, until) for one in self.lines)):
            if slot != before:
                yield slot
            before = slot

    def _count(self, since: int, until: int) -> int:
        if len(self.lines) == 1:
            return self.lines[0].count(since, until)
        return sum(1 for _ in islice(self._each(since, until), MAX_COUNTED))


def parse_schedule(lines: object, timezone: object = "UTC") -> Schedule:
    """Read the lines and the zone of a rule; one line may stand there as a text.

    Raise ScheduleError with every problem; places are `("rule", index)` and `("timezone",)`.
    """
    texts = [lines] if isinstance(lines, str) else lines
    problems: list[Problem] = []
    read = _read_lines(texts, problems) if isinstance(texts, list | tuple) else []
    if not isinstance(texts, list | tuple) or not texts:
        problems.append(_no_lines())
    zone = zone_problem(timezone)
    if zone is not None:
        problems.append(replace(zone, loc=("timezone",)))
    if problems:
        raise ScheduleError(problems[0].message, fix=problems[0].fix, problems=problems)
    key = str(timezone)
    return Schedule(tuple(ZonedLine(line, zone_of(key)) for line in read), key)


def _read_lines(texts: Sequence[object], problems: list[Problem]) -> list[CronLine]:
    if len(texts) > MAX_LINES:
        problems.append(
            Problem(
                code="schedule.too_many_lines",
                message=f"a schedule has {MAX_LINES} lines at most; this one has {len(texts)}",
                loc=("rule",),
                fix="write lists such as 0,20,40, or several rules",
            )
        )
        return []
    read: list[CronLine] = []
    for index, text in enumerate(texts):
        line = read_line(text) if isinstance(text, str) else [_no_text(text)]
        if isinstance(line, CronLine):
            read.append(line)
        else:
            problems.extend(replace(problem, loc=("rule", index)) for problem in line)
    return read


def _no_lines() -> Problem:
    return Problem(
        code="schedule.no_lines",
        message="the rule of a schedule is a list of cron lines, at least one",
        loc=("rule",),
        fix='write rule: ["0 3 * * *"]',
    )


def _no_text(value: object) -> Problem:
    return Problem(
        code="schedule.not_text",
        message=f"a cron line is a text, and not {type(value).__name__}",
        fix='write it in quotes: "0 3 * * *"',
    )


def _fires_in_a_cycle(lines: Sequence[CronLine]) -> int:
    """Count the fires in 28 years; what several lines name is counted once."""
    days_by_lines: Counter[frozenset[int]] = Counter()
    for year in CYCLE_YEARS:
        for month in range(1, 13):
            for which, days in _parted(lines, year, month).items():
                days_by_lines[which] += days.bit_count()
    return sum(
        len(frozenset[int]().union(*(lines[index].times for index in which))) * days
        for which, days in days_by_lines.items()
    )


def _parted(lines: Sequence[CronLine], year: int, month: int) -> dict[frozenset[int], int]:
    """Part a month's days, as bits, by which of the lines name them."""
    parts = {frozenset[int](): (1 << 31) - 1}
    for index, line in enumerate(lines):
        named = line.days.in_month(year, month)
        halves = [
            half
            for which, days in parts.items()
            for half in ((which | {index}, days & named), (which, days & ~named))
        ]
        parts = {which: days for which, days in halves if days}
    return parts
