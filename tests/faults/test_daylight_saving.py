"""P10: in every time zone, for two years, lines fire when the zone's own clocks say so."""

from __future__ import annotations

import zlib
from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from zoneinfo import available_timezones

import pytest

from flowdapt.domain.schedule import parse_schedule
from flowdapt.domain.timing import MAX_COUNTED, instant_of
from tests.domain.wall_clock import LINES, WallClock, minute_of

pytestmark = pytest.mark.faults

SINCE, UNTIL = datetime(2026, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
# Beyond the longest month of one of the lines around a change.
AROUND = timedelta(days=3)
# The oracle's own tables, one for all zones whose clocks go alike.
Slots = dict[str, list[int]]


def test_every_zone_fires_as_its_wall_clock_says(record_property) -> None:
    zones = sorted(available_timezones() - {"localtime", "Factory"})
    walked: dict[int, Slots] = {}
    differences: list[str] = []
    checked = 0
    for zone in zones:
        clock = WallClock.of(zone, SINCE, UNTIL)
        kind = zlib.crc32(clock.offsets.tobytes())
        alike = kind in walked
        slots = walked.setdefault(kind, {})
        for line in LINES:
            expected = slots.setdefault(line, [] if alike else clock.slots(line))
            spans = _around_changes(clock) if alike else [(SINCE, UNTIL)]
            found, wrong = _compare(zone, line, expected, spans)
            checked, differences = checked + found, differences + wrong
    record_property("P10 zones x lines, slots", f"{len(zones)} x {len(LINES)}, {checked:,}")
    record_property("P10 differences from the wall clock", str(len(differences)))
    assert len(zones) >= 400
    assert differences == []


def _around_changes(clock: WallClock) -> list[tuple[datetime, datetime]]:
    """A zone whose clocks go like another's, which was walked whole, is looked at where they change."""
    changes = [instant_of(minute * 60) for minute in clock.changes()]
    wanted = [
        (max(SINCE, at - AROUND), min(UNTIL, at + AROUND)) for at in [*changes, SINCE + AROUND]
    ]
    return [(since, until) for since, until in wanted if since < until]


def _compare(
    zone: str, line: str, expected: list[int], spans: list[tuple[datetime, datetime]]
) -> tuple[int, list[str]]:
    schedule = parse_schedule(line, zone)
    checked, wrong = 0, []
    for since, until in spans:
        low, high = minute_of(since), minute_of(until)
        due = expected[bisect_left(expected, low) : bisect_left(expected, high)]
        bounds = since - SECOND, until - SECOND
        found = [minute_of(at) for at in schedule.between(*bounds, 10**7)]
        checked += len(found)
        if found != due:
            first = min(set(found) ^ set(due), default=0)
            wrong.append(f"{zone} {line!r}: {instant_of(first * 60)}")
        if schedule.count(*bounds) != min(len(due), MAX_COUNTED):
            wrong.append(f"{zone} {line!r}: counted otherwise in {since} to {until}")
        last = schedule.latest(*bounds)
        if (last and minute_of(last)) != (due[-1] if due else None):
            wrong.append(f"{zone} {line!r}: the last before {until} is another")
    return checked, wrong
