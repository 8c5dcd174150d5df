"""Keep the newest events of the journal, framed once, for readers that each have a place of their own.

Bounded in number and bytes; what falls out at the old end is counted, so that nobody misses it unseen.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass

from flowdapt.domain.event_filter import EventFilter
from flowdapt.domain.events import Event

__all__ = ["PIECE_BYTES", "Kept", "Missed", "Ring"]

# One piece for a reader is about so large: what waits to be taken by a stuck one is no more.
PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Missed:
    """What a reader is not told: the events after `start` up to `to`; `count` None is unknown."""

    reason: str
    start: int | None
    to: int
    count: int | None


@dataclass(frozen=True, slots=True)
class Kept:
    """An event with its bytes for readers."""

    event: Event
    frame: bytes


class Ring:
    """The newest events, bounded in number and bytes; each has a number that it keeps.

    It holds every event after the cursor `floor`, those numbered `first` to before `end`.
    """

    def __init__(self, most_events: int, most_bytes: int) -> None:
        self._most_events = most_events
        self._most_bytes = most_bytes
        self._kept: list[Kept] = []
        self._bytes = 0
        self.first = 0
        self.floor = 0
        self.newest = 0

    @property
    def end(self) -> int:
        return self.first + len(self._kept)

    def restart(self, newest: int) -> None:
        """Hold nothing, and take events after this cursor."""
        self.first = self.end
        self._kept, self._bytes = [], 0
        self.floor = self.newest = newest

    def add(self, one: Kept) -> None:
        self._kept.append(one)
        self._bytes += len(one.frame)
        self.newest = one.event.cursor
        while len(self._kept) > self._most_events or self._bytes > self._most_bytes:
            self._drop()

    def _drop(self) -> None:
        oldest = self._kept.pop(0)
        self._bytes -= len(oldest.frame)
        self.floor = oldest.event.cursor
        self.first += 1

    def reaches(self, cursor: int) -> bool:
        """Say whether everything after the cursor is here."""
        return cursor >= self.floor

    def after(self, cursor: int) -> int:
        """Return the number of the first event after the cursor."""
        return self.first + bisect.bisect_right(self._kept, cursor, key=_cursor_of)

    def missed(self, cursor: int, at: int) -> Missed:
        """Return what was dropped that a reader at this number should have had."""
        return Missed("the reader was too slow", cursor, self.floor, self.first - at)

    def piece(self, at: int, cursor: int, where: EventFilter) -> tuple[bytes, int, int]:
        """Return the frames from this number on that are wanted, and how far that led."""
        frames, size = [], 0
        for one in self._kept[at - self.first :]:
            if size >= PIECE_BYTES:
                break
            at += 1
            # A reader from now on may have begun at a cursor that had not come here yet.
            if one.event.cursor > cursor and where.wants(one.event):
                frames.append(one.frame)
                size += len(one.frame)
            cursor = max(cursor, one.event.cursor)
        return b"".join(frames), at, cursor


def _cursor_of(one: Kept) -> int:
    return one.event.cursor
