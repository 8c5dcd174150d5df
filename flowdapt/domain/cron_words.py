"""Decide how a cron line is told to people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flowdapt.domain.cron import CronLine
from flowdapt.domain.cron_fields import DAYS, MONTHS, Field, Term

__all__ = ["ordinal", "words_of"]

# More times of day than these are told by their minutes and hours.
_MOST_TIMES = 6
_NTH = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth", -1: "last"}


def words_of(line: CronLine) -> str:
    """Return a line in words, without its time zone."""
    minutes, hours, of_month, months, of_week = line.fields
    days = _days(of_month, of_week, both=line.days.both)
    when = _times(minutes, hours)
    if not days and not hours.starred:
        days = "every day"
    separator = " " if days == "every day" and ":" in when else ", "
    words = separator.join(part for part in (when, days) if part)
    return words if months.is_any else f"{words}, {_months(months)}"


def ordinal(number: int) -> str:
    """Return a number as an ordinal: 1st, 2nd, 3rd, 4th."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number // 10 == 1 else ending}"


def _times(minutes: Field, hours: Field) -> str:
    count = len(minutes.numbers) * len(hours.numbers)
    if not (minutes.starred or hours.starred or hours.is_any) and count <= _MOST_TIMES:
        return "at " + _listed(f"{h:02}:{m:02}" for h in hours.numbers for m in minutes.numbers)
    return _of_hours(
        _minutes(minutes), hours, each=len(minutes.numbers) == 1 or not minutes.starred
    )


def _minutes(minutes: Field) -> str:
    if minutes.is_any:
        return "every minute"
    if len(minutes.terms) == 1 and minutes.terms[0].step > 1 and len(minutes.numbers) > 1:
        term = minutes.terms[0]
        within = "" if term.star else f" from minute {term.low} to {minutes.numbers[-1]}"
        return f"every {term.step} minutes{within}"
    named = _ranges(minutes)
    return f"at minute{'s' if len(minutes.numbers) > 1 else ''} {named}"


def _of_hours(minutes: str, hours: Field, *, each: bool) -> str:
    if hours.is_any:
        return f"{minutes} of every hour" if each else minutes
    if len(hours.terms) == 1 and hours.terms[0].step > 1 and len(hours.numbers) > 1:
        term = hours.terms[0]
        within = "" if term.star else f" from hour {term.low} to {hours.numbers[-1]}"
        return f"{minutes} of every {ordinal(term.step)} hour{within}"
    return f"{minutes} of hour{'s' if len(hours.numbers) > 1 else ''} {_ranges(hours)}"


def _days(of_month: Field, of_week: Field, *, both: bool) -> str:
    by_number = "" if of_month.is_any else f"on {_listed(map(_day_of_month, of_month.terms))}"
    by_weekday = "" if of_week.is_any else f"on {_days_of_week(of_week)}"
    if by_number and by_weekday:
        return f"{by_number} if it is {by_weekday[3:]}" if both else f"{by_number} or {by_weekday}"
    # When either is enough, a field that leaves nothing out makes it every day.
    if not both and (of_month.is_any or of_week.is_any):
        return "every day"
    return by_number or by_weekday


def _day_of_month(term: Term) -> str:
    if term.last:
        return "the last day" if term.last == "L" else "the last weekday (Monday to Friday)"
    if term.low == term.high:
        return f"the {ordinal(term.low)}"
    step = f"every {ordinal(term.step)} day from " if term.step > 1 else ""
    return f"{step}the {ordinal(term.low)} to the {ordinal(term.numbers[-1])}"


def _days_of_week(of_week: Field) -> str:
    return _listed(_day_of_week(term) for term in of_week.terms)


def _day_of_week(term: Term) -> str:
    if term.nth:
        return f"the {_NTH[term.nth]} {DAYS[term.low]}"
    if term.step > 1:
        return _listed(dict.fromkeys(DAYS[number] for number in term.numbers))
    return DAYS[term.low] if term.low == term.high else f"{DAYS[term.low]} to {DAYS[term.high]}"


def _months(months: Field) -> str:
    terms = months.terms
    if any(term.step > 1 for term in terms):
        return "in " + _listed(MONTHS[number - 1] for number in months.numbers)
    return "in " + _listed(_named_range(term) for term in terms)


def _named_range(term: Term) -> str:
    first, last = MONTHS[term.low - 1], MONTHS[term.high - 1]
    return first if first == last else f"{first} to {last}"


def _ranges(field: Field) -> str:
    if any(term.step > 1 for term in field.terms):
        return _listed(map(str, field.numbers))
    return _listed(
        str(term.low) if term.low == term.high else f"{term.low} to {term.high}"
        for term in field.terms
    )


def _listed(words: Iterable[str]) -> str:
    several: Sequence[str] = list(words)
    first, last = several[:-1], several[-1]
    return f"{', '.join(first)} and {last}" if first else last
