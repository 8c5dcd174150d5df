"""Decide when a rule of a fixed interval fires: `anchor + k * every`, in elapsed time, without drift."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches

from flowdapt.domain.errors import Problem, ScheduleError
from flowdapt.domain.quantities import format_duration, parse_duration_s
from flowdapt.domain.timing import DAY_S, Times, instant_of, seconds_of

__all__ = ["Interval", "parse_interval"]

_KEYS = ("every", "anchor")


@dataclass(frozen=True, slots=True)
class Interval(Times):
    """Every so many whole seconds. The anchor is one of the instants; they lie before it as well."""

    every_s: int
    anchor: datetime

    def in_words(self) -> str:
        every = format_duration(self.every_s)
        one = {"1d": "day", "1h": "hour", "1m": "minute", "1s": "second"}.get(str(every), every)
        return f"every {one}, counted from {self.anchor:%Y-%m-%d %H:%M:%S} UTC"

    def per_day(self) -> float:
        return DAY_S / self.every_s

    def warnings(self) -> list[str]:
        if self.every_s % DAY_S:
            return []
        days = self.every_s // DAY_S
        told = "a day" if days == 1 else f"{days} days"
        doubt = f"{told} of elapsed time is another time of day where clocks change; "
        return [f"{doubt}a fixed time of day is a schedule with a timezone"]

    def _first(self, since: int, until: int) -> int | None:
        slot = since + (self._phase - since) % self.every_s
        return slot if slot < until else None

    def _last(self, since: int, until: int) -> int | None:
        slot = until - 1 - (until - 1 - self._phase) % self.every_s
        return slot if slot >= since else None

    def _each(self, since: int, until: int) -> Iterator[int]:
        first = self._first(since, until)
        return iter(() if first is None else range(first, until, self.every_s))

    def _count(self, since: int, until: int) -> int:
        first = self._first(since, until)
        return 0 if first is None else len(range(first, until, self.every_s))

    @property
    def _phase(self) -> int:
        return seconds_of(self.anchor)


def parse_interval(value: object, *, anchor: datetime) -> Interval:
    """Read `{every: 15m, anchor: …}`, or the duration alone.

    `anchor` is what counts where the rule names none: when the rule was made. Raise ScheduleError
    with every problem; places are `("rule", "every")` and the like.
    """
    rule = value if isinstance(value, Mapping) else {"every": value}
    problems = [_unknown(str(key)) for key in rule if key not in _KEYS]
    every = _every(rule.get("every"), problems)
    begin = _anchor(rule["anchor"], problems) if rule.get("anchor") is not None else anchor
    if problems or every is None or begin is None:
        raise ScheduleError(problems[0].message, fix=problems[0].fix, problems=problems)
    return Interval(every, instant_of(seconds_of(begin)))


def _unknown(key: str) -> Problem:
    near = get_close_matches(key[:32], _KEYS, 1)
    return Problem(
        code="interval.unknown_key",
        message=f"an interval has no {key[:32]!r}",
        loc=("rule", key),
        suggestion=near[0] if near else None,
        fix="write {every: 15m}, with an anchor if need be",
    )


def _every(value: object, problems: list[Problem]) -> int | None:
    at = ("rule", "every")
    try:
        seconds = parse_duration_s(value)
    except ValueError as error:
        problems.append(
            Problem(
                code="interval.bad_duration",
                message=f"`every` is no duration: {error}",
                loc=at,
                fix="write {every: 15m}",
            )
        )
        return None
    if seconds >= 1 and seconds == int(seconds):
        return int(seconds)
    problems.append(
        Problem(
            code="interval.too_fine",
            message=f"an interval is one second or more, in whole seconds; this one is {seconds:g} s",
            loc=at,
            fix="write 1s or more",
        )
    )
    return None


def _anchor(value: object, problems: list[Problem]) -> datetime | None:
    try:
        anchor = value if isinstance(value, datetime) else datetime.fromisoformat(str(value)[:64])
        if anchor.tzinfo is not None:
            return anchor.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    problems.append(
        Problem(
            code="interval.bad_anchor",
            message=f"{str(value)[:64]!r} is no instant with a zone",
            loc=("rule", "anchor"),
            fix="write it with Z or an offset: 2026-01-01T00:00:00Z",
        )
    )
    return None
