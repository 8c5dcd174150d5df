"""Decide what the filter line means: `state=failed wf~now dur>5m since=2d`, for the server to carry out."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from flowdapt.domain.errors import InvalidInput
from flowdapt.domain.run import RunState

__all__ = ["FILTER_WORDS", "BadFilter", "Query", "parse_filter"]

FILTER_WORDS = {
    "state=": "states, with commas between",
    "wf=": "the workflow",
    "wf~": "a part of the workflow's name",
    "ns=": "the namespace",
    "trigger=": "the rule that started it",
    "parent=": "the run that it retries",
    "label=": "NAME:VALUE",
    "dur>": "took longer: 90s, 5m or 2h",
    "dur<": "took less",
    "since=": "2d, 90m or 2026-11-24",
    "until=": "2d, 90m or 2026-11-24",
}
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_WORD = re.compile(r"([a-z]+)([=~<>])(.+)")


class BadFilter(InvalidInput):
    """A filter that cannot be carried out; the message says which word."""

    code = "filter.invalid"


@dataclass(frozen=True, slots=True)
class Query:
    """Parameters of `GET /runs`, and the words they came from."""

    text: str = ""
    sort: str = "-created"
    given: dict[str, Any] = field(default_factory=dict)

    @property
    def parameters(self) -> dict[str, Any]:
        return {**self.given, "sort": self.sort}

    @property
    def newest_first(self) -> bool:
        return self.sort == "-created"

    def sorted_by(self, sort: str) -> Query:
        return replace(self, sort=sort)


def parse_filter(text: str, *, now: datetime | None = None, sort: str = "-created") -> Query:
    """Return the query that a filter line means. Raise BadFilter with what to write instead."""
    moment = now or datetime.now(UTC)
    given: dict[str, Any] = {}
    for word in text.split():
        name, value = _meaning(word, moment)
        if name in given and isinstance(given[name], list):
            given[name] = [*given[name], *value]
        elif name in given:
            raise BadFilter(f"{word}: said twice", fix="write each word once")
        else:
            given[name] = value
    return Query(text.strip(), sort, given)


def _meaning(word: str, now: datetime) -> tuple[str, Any]:
    found = _WORD.fullmatch(word)
    if found is None:
        return "q", word
    name, sign, value = found.groups()
    reader = _READERS.get(name + sign)
    if reader is None:
        known = " ".join(_READERS)
        raise BadFilter(f"{word}: there is no {name}{sign}", fix=f"words are {known}, or any text")
    parameter, read = reader
    return parameter, read(value, now)


def _states(value: str, now: datetime) -> list[str]:
    known = [state.value for state in RunState]
    for one in value.split(","):
        if one not in known:
            raise BadFilter(f"state={one}: there is no such state", fix=f"one of {' '.join(known)}")
    return value.split(",")


def _plain(value: str, now: datetime) -> str:
    return value


def _label(value: str, now: datetime) -> list[str]:
    return [value.replace(":", "=", 1)]


def span_s(value: str) -> float:
    """Return the seconds of `5m` or `1h30m`. Raise BadFilter."""
    parts = _SPAN.findall(value)
    if not parts or "".join(number + unit for number, unit in parts) != value:
        raise BadFilter(f"{value}: no time span", fix="write 90s, 5m, 2h or 3d")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _span(value: str, now: datetime) -> float:
    return span_s(value)


def _instant(value: str, now: datetime) -> datetime:
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return now - timedelta(seconds=span_s(value))
    return found if found.tzinfo else found.replace(tzinfo=UTC)


_READERS: dict[str, tuple[str, Callable[[str, datetime], Any]]] = {
    "state=": ("state", _states),
    "wf=": ("workflow", _plain),
    "wf~": ("q", _plain),
    "ns=": ("namespace", _plain),
    "trigger=": ("trigger", _plain),
    "parent=": ("parent", _plain),
    "label=": ("label", _label),
    "dur>": ("longer", _span),
    "dur<": ("shorter", _span),
    "since=": ("since", _instant),
    "until=": ("until", _instant),
}
