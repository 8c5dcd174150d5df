"""Decide which time zones there are, and when a zone's clocks change.

A stretch is a time in which a zone's offset from UTC stays the same; it may end without a change.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from difflib import get_close_matches
from functools import cache, lru_cache
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from flowdapt.domain.errors import Problem
from flowdapt.domain.timing import DAY_S

__all__ = ["Stretch", "stretch_at", "zone_of", "zone_problem"]

# Shorter than any two changes of one zone are apart (a week less an hour, Gaza in 2040): a window
# whose two ends agree has no change inside.
_WINDOW_S = 4 * DAY_S
# Zones of the tz files that name no place: this machine's own, and "nobody has set one".
_NO_PLACES = frozenset({"localtime", "Factory", "posixrules"})
_MAX_CHARS = 64
# EST is not meant by CEST.
_LIKENESS = 0.87


class Stretch(NamedTuple):
    """[start, stop) in seconds UTC, with the offset in it and the one just before it."""

    start: int
    stop: int
    offset: int
    before: int


def zone_problem(key: object) -> Problem | None:
    """Say what is wrong with the name of a time zone; None when there is such a zone."""
    if not isinstance(key, str) or not key or len(key) > _MAX_CHARS:
        return Problem(
            code="schedule.bad_zone",
            message="a time zone is a name of the IANA list",
            fix="write a name such as Europe/Berlin, or UTC",
        )
    if key == "UTC" or key in _zone_keys():
        return None
    if not _zone_keys():
        return Problem(
            code="schedule.no_zones",
            message="this machine has no list of time zones, so UTC alone is known",
            fix="install the package tzdata of the system or of Python",
        )
    near = _near(key)
    return Problem(
        code="schedule.unknown_zone",
        message=f"there is no time zone {key!r}",
        suggestion=near,
        fix="write a name of the IANA list, such as Europe/Berlin, or UTC",
    )


def zone_of(key: str) -> tzinfo:
    """Return the zone of a name that has no problem. UTC needs no file."""
    return UTC if key == "UTC" else ZoneInfo(key)


def stretch_at(zone: tzinfo, second: int) -> Stretch:
    """Return the stretch that holds a second; no longer than a few days."""
    window = second // _WINDOW_S
    if zone is UTC:
        return Stretch(window * _WINDOW_S, (window + 1) * _WINDOW_S, 0, 0)
    return next(one for one in _stretches(zone, window) if second < one.stop)


@cache
def _zone_keys() -> frozenset[str]:
    return frozenset(available_timezones() - _NO_PLACES)


def _near(text: str) -> str | None:
    """Find what was meant, in any case, with spaces, or by the city alone."""
    asked = text.lower().replace(" ", "_")
    by_words = {name.lower(): name for name in sorted(_zone_keys())}
    cities: dict[str, str] = {}
    for key, name in by_words.items():
        cities.setdefault(key.rpartition("/")[2], name)
    for known, words in ((by_words, asked), (cities, asked.rpartition("/")[2])):
        near = get_close_matches(words, known, 1, _LIKENESS)
        if near:
            return known[near[0]]
    return None


# Small numbers, of which all rules in one zone share the same.
@lru_cache(maxsize=4096)
def _stretches(zone: tzinfo, window: int) -> tuple[Stretch, ...]:
    start, stop = window * _WINDOW_S, (window + 1) * _WINDOW_S
    edges = [start, *_changes(zone, start, stop - 1), stop]
    return tuple(Stretch(a, b, _offset(zone, a), _offset(zone, a - 1)) for a, b in pairwise(edges))


def _changes(zone: tzinfo, low: int, high: int) -> Iterator[int]:
    """Yield the first seconds of new offsets in (low, high], by halving."""
    if _offset(zone, low) == _offset(zone, high):
        return
    if high - low == 1:
        yield high
        return
    middle = (low + high) // 2
    yield from _changes(zone, low, middle)
    yield from _changes(zone, middle, high)


def _offset(zone: tzinfo, second: int) -> int:
    offset = datetime.fromtimestamp(second, zone).utcoffset()
    assert offset is not None
    return offset.days * DAY_S + offset.seconds
