"""Decide which cron lines are allowed and yet look like a slip, and what the writer may have meant."""

from __future__ import annotations

from collections.abc import Iterator

from flowdapt.domain.cron import CYCLE_YEARS, CronLine
from flowdapt.domain.cron_fields import Field
from flowdapt.domain.cron_words import ordinal

__all__ = ["doubts_of"]

_FEBRUARY, _LEAP_DAY = 2, 29


def doubts_of(line: CronLine) -> Iterator[str]:
    """Yield a sentence for each doubt about a line."""
    yield from _every_minute(line)
    for field, unit in zip(line.fields[:2], ("m", "h"), strict=True):
        yield from _uneven(line, field, unit)
    yield from _two_kinds_of_days(line)
    yield from _missing_days(line)


def _every_minute(line: CronLine) -> Iterator[str]:
    """`* */1 * * *` and `* 3 * * *` are nearly always meant to fire once an hour or day."""
    minutes, hours = line.fields[:2]
    written = line.text.split(" ")
    if not minutes.is_any or written[1:2] in ([], ["*"]):
        return
    once = " ".join(["0", *written[1:]])
    if hours.is_any:
        yield f"`{line.text}` fires every minute; once an hour is `{once.replace('*/1', '*', 1)}`"
    else:
        per_hour = "once in each of these hours" if len(hours.numbers) > 1 else "once"
        yield (
            f"`{line.text}` fires {len(line.times)} times a day, every minute of its hours; "
            f"{per_hour} is `{once}`"
        )


def _uneven(line: CronLine, field: Field, unit: str) -> Iterator[str]:
    """A step begins anew each hour or day: only what divides it makes even gaps."""
    whole = field.kind.high + 1
    for term in field.terms:
        if not term.star or whole % term.step == 0:
            continue
        name = "hour" if unit == "m" else "day"
        if term.step >= whole:
            told = f"fires at {field.kind.name} 0 only"
        else:
            told = (
                f"begins anew each {name}, with {whole - term.numbers[-1]} after {term.numbers[-1]}"
            )
        yield (
            f"`*/{term.step}` of {field.kind.name} {told}; "
            f"evenly is an interval: {{every: {term.step}{unit}}}"
        )


def _two_kinds_of_days(line: CronLine) -> Iterator[str]:
    of_month, of_week = line.fields[2], line.fields[4]
    if of_month.is_any and of_week.is_any:
        return
    if not line.days.both:
        yield (
            f"`{line.text}` names days of the month and days of the week: "
            "cron fires on days that are either, not only on those that are both"
        )
    elif not of_month.is_any and not of_week.is_any:
        yield (
            f"`{line.text}` fires only on days that fit both the day of month and the day of week, "
            "since one of the two begins with a star"
        )


def _missing_days(line: CronLine) -> Iterator[str]:
    """Tell of months that have no such day, where the days are named by number alone."""
    of_month, months, of_week = line.fields[2:]
    if not of_week.is_any or not of_month.numbers or len(of_month.numbers) != _all_days(of_month):
        return
    least = of_month.numbers[0]
    if least < _LEAP_DAY:
        return
    if months.numbers == (_FEBRUARY,):
        yield f"`{line.text}` fires in leap years only"
        return
    common_year = CYCLE_YEARS[0]
    if any(not line.days.in_month(common_year, month) for month in months.numbers):
        yield (
            f"`{line.text}` leaves out months that have no {ordinal(least)}; "
            "the last day of a month is `L`"
        )


def _all_days(of_month: Field) -> int:
    """Return how many numbers there would be if no term were `L`; more than there are if one is."""
    return len(of_month.numbers) + sum(1 for term in of_month.terms if term.last)
