"""Decide at which instants a cron line fires in a time zone, also where its clocks change.

A line of fixed times fires once where clocks go back (the first time), and at the first instant after
the gap where they go forward; a line that begins with a star in minutes or hours follows elapsed time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import tzinfo
from typing import NamedTuple

from flowdapt.domain.cron import CronLine
from flowdapt.domain.timing import DAY_S, MAX_COUNTED
from flowdapt.domain.zones import Stretch, stretch_at

__all__ = ["ZonedLine"]


class _Span(NamedTuple):
    """Where the wall clock may name slots in one stretch: [low, high) of its seconds."""

    stretch: Stretch
    low: int
    high: int

    def slot(self, wall: int) -> int:
        # What the clock skipped is made up for in the first second of the new offset.
        return max(wall - self.stretch.offset, self.stretch.start)


@dataclass(frozen=True, slots=True)
class ZonedLine:
    """A line in a zone; everything looks at [since, until) in seconds UTC."""

    line: CronLine
    zone: tzinfo

    def first(self, since: int, until: int) -> int | None:
        for span in self._spans(since, until):
            wall = self.line.first(span.low)
            if wall is not None and wall < span.high:
                return span.slot(wall)
        return None

    def last(self, since: int, until: int) -> int | None:
        for span in self._spans_back(since, until):
            wall = self.line.last(span.high)
            if wall is not None and wall >= span.low:
                return span.slot(wall)
        return None

    def each(self, since: int, until: int) -> Iterator[int]:
        for span in self._spans(since, until):
            before = None
            for wall in self.line.each(span.low, span.high):
                slot = span.slot(wall)
                if slot != before:
                    yield slot
                before = slot

    def count(self, since: int, until: int) -> int:
        total = 0
        for span in self._spans(since, until):
            total += self.line.count(span.low, span.high) - self._folded(span)
            if total >= MAX_COUNTED:
                return MAX_COUNTED
        return total

    def _folded(self, span: _Span) -> int:
        """Count the times that share the instant after a gap with another one."""
        at = span.stretch.start + span.stretch.offset
        return max(0, self.line.count(span.low, at + 1) - 1) if span.low <= at else 0

    def _span(self, stretch: Stretch, since: int, until: int) -> _Span:
        low = max(stretch.start, since) + stretch.offset
        high = min(stretch.stop, until) + stretch.offset
        if not self.line.elapsed:
            # The wall clock went on from here; what it shows again is not new, what it skipped is.
            went_on = stretch.start + stretch.before
            low = went_on if since <= stretch.start else max(low, went_on)
        return _Span(stretch, low, high)

    # Every slot lies within a day of a time that the wall clock names, since offsets are less than a
    # day: so stretches that are further from any such time are passed over.

    def _spans(self, since: int, until: int) -> Iterator[_Span]:
        at = since
        while at < until:
            span = self._span(stretch_at(self.zone, at), since, until)
            if span.low < span.high:
                yield span
            at = span.stretch.stop
            wall = self.line.first(at - DAY_S)
            if wall is None:
                return
            at = max(at, wall - DAY_S)

    def _spans_back(self, since: int, until: int) -> Iterator[_Span]:
        at = until
        while at > since:
            span = self._span(stretch_at(self.zone, at - 1), since, until)
            if span.low < span.high:
                yield span
            at = span.stretch.start
            wall = self.line.last(at + DAY_S)
            if wall is None:
                return
            at = min(at, wall + DAY_S + 1)
