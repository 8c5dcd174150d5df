"""An oracle for schedules: walk every minute of a zone's wall clock and look which ones a line names.

It shares nothing with the package but zoneinfo; lines are read by ten lines of its own. Times are minutes
since 1970.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# More than any clock was ever moved by.
MARGIN = 3 * 1440
HOUR = 60
BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
# The two kinds of lines, what stands at the edges of hours, days and months, and both kinds of days.
LINES = (
    "*/15 * * * *",
    "0 * * * *",
    "* 1-3 * * *",
    "7,37 */2 * * *",
    "*/20 0,2 * * 6,0",
    "30 2 * * *",
    "0 0 * * *",
    "15,45 0-3 * * *",
    "59 23 * * *",
    "30 1 1-7 * 0",
    "0 */6 29-31 * *",
    "0 12 29 2 *",
)


@dataclass(frozen=True)
class Wall:
    """Minutes of a wall clock, taken apart: minute, hour, day, month, weekday."""

    parts: tuple[NDArray[np.int8], ...]

    @classmethod
    def of(cls, minutes: NDArray[np.int64]) -> Wall:
        days = minutes // 1440
        dates = days.astype("datetime64[D]")
        months = dates.astype("datetime64[M]")
        parts = (
            minutes % 60,
            minutes // 60 % 24,
            (dates - months).astype(np.int64) + 1,
            months.astype(np.int64) % 12 + 1,
            (days + 4) % 7,  # 1970 began on a Thursday, and Sunday is 0
        )
        return cls(tuple(part.astype(np.int8) for part in parts))

    def named(self, fields: list[str]) -> NDArray[np.bool_]:
        """Tell for each minute whether five fields name it."""
        minute, hour, day, month, weekday = (
            numbers(field, *bounds)[part]
            for field, bounds, part in zip(fields, BOUNDS, self.parts, strict=True)
        )
        both = fields[2][0] == "*" or fields[4][0] == "*"
        return minute & hour & month & ((day & weekday) if both else (day | weekday))


@dataclass
class WallClock:
    """What the clocks of a zone show in [start, stop), and for some days around."""

    start: int
    stop: int
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, key: str, start: datetime, stop: datetime) -> WallClock:
        first, last = minute_of(start), minute_of(stop)
        return cls(first, last, offsets(key, first - MARGIN, last + MARGIN))

    @cached_property
    def utc(self) -> NDArray[np.int64]:
        return np.arange(self.start - MARGIN, self.stop + MARGIN, dtype=np.int64)

    @cached_property
    def local(self) -> NDArray[np.int64]:
        return self.utc + self.offsets

    @cached_property
    def wall(self) -> NDArray[np.int64]:
        """All minutes that a wall clock without changes would show."""
        return np.arange(self.local.min(), self.local.max() + 1)

    @cached_property
    def seen(self) -> NDArray[np.int64]:
        """When each minute of the wall is first shown or, if it is skipped, what comes after it."""
        shown, place = np.unique(self.local, return_index=True)
        return self.utc[place[np.searchsorted(shown, self.wall)]]

    @cached_property
    def local_parts(self) -> Wall:
        return Wall.of(self.local)

    @cached_property
    def wall_parts(self) -> Wall:
        return Wall.of(self.wall)

    def changes(self) -> list[int]:
        """Return the minutes in which a new offset begins."""
        return [int(self.utc[jump + 1]) for jump in np.nonzero(np.diff(self.offsets))[0]]

    def slots(self, line: str) -> list[int]:
        """Return the minutes UTC in which a line fires."""
        fields = line.split()
        if fields[0][0] == "*" or fields[1][0] == "*":
            found = self.utc[self.local_parts.named(fields)]
        else:
            found = np.unique(self.seen[self.wall_parts.named(fields)])
        return found[(found >= self.start) & (found < self.stop)].tolist()


def minute_of(instant: datetime) -> int:
    return int(instant.timestamp()) // 60


def offsets(key: str, first: int, last: int) -> NDArray[np.int64]:
    """Return the offset of each minute; hours that begin and end alike are not walked."""
    zone = ZoneInfo(key)
    hours = range(first // HOUR * HOUR, last + 2 * HOUR, HOUR)
    known = [offset(zone, minute) for minute in hours]
    walked = np.repeat(np.array(known, np.int64), HOUR)
    for hour, (before, after) in enumerate(pairwise(known)):
        if before != after:
            minutes = range(hours[hour], hours[hour + 1])
            walked[hour * HOUR : (hour + 1) * HOUR] = [offset(zone, m) for m in minutes]
    return walked[first - hours[0] :][: last - first]


def offset(zone: ZoneInfo, minute: int) -> int:
    instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
    found = instant.astimezone(zone).utcoffset()
    assert found is not None
    assert found.total_seconds() % 60 == 0, "offsets of odd seconds ended in 1972"
    return int(found.total_seconds()) // 60


def numbers(field: str, low: int, high: int) -> NDArray[np.bool_]:
    """Read a field of stars, numbers, ranges, lists and steps as a table of what it names."""
    table = np.zeros(high + 1, dtype=bool)
    for term in field.split(","):
        base, _, step = term.partition("/")
        first, _, last = base.partition("-")
        begin = low if base == "*" else int(first)
        end = int(last or first) if base != "*" and (last or not step) else high
        table[begin : end + 1 : int(step or 1)] = True
    if high == 7:
        table[0] |= table[7]
    return table
