"""Decide what every rule of time can be asked, be it cron lines or an interval.

Instants are counted in whole seconds since 1970 inside, and are aware UTC datetimes outside.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final

__all__ = ["DAY_S", "END_OF_TIME", "MAX_COUNTED", "Times", "instant_of", "seconds_of"]

DAY_S: Final = 86_400
# Counting stops here: nobody needs to know how many more there were.
MAX_COUNTED: Final = 10_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)


def seconds_of(instant: datetime) -> int:
    """Return the last whole second at or before an aware instant."""
    return (instant - _EPOCH) // _SECOND


def instant_of(seconds: int) -> datetime:
    return _EPOCH + timedelta(seconds=seconds)


# A year from the ends of what datetime can hold, so that a time zone's offset always fits.
_BEGINNING_OF_TIME: Final = seconds_of(datetime(2, 1, 1, tzinfo=UTC))
END_OF_TIME: Final = seconds_of(datetime(9999, 1, 1, tzinfo=UTC))


class Times(ABC):
    """The slots of a rule: whole seconds in UTC, ascending, each once."""

    def after(self, instant: datetime) -> datetime | None:
        """Return the first slot strictly after an instant; None when there is none before the year 9999."""
        since = max(seconds_of(instant) + 1, _BEGINNING_OF_TIME)
        return _instant(self._first(since, END_OF_TIME))

    def latest(self, start_exclusive: datetime, stop_inclusive: datetime) -> datetime | None:
        """Return the last slot after `start_exclusive` and not after `stop_inclusive`."""
        return _instant(self._last(*_bounds(start_exclusive, stop_inclusive)))

    def between(
        self, start_exclusive: datetime, stop_inclusive: datetime, limit: int
    ) -> list[datetime]:
        """Return the first `limit` slots after `start_exclusive` and not after `stop_inclusive`."""
        found = islice(self._each(*_bounds(start_exclusive, stop_inclusive)), limit)
        return [instant_of(slot) for slot in found]

    def count(self, start_exclusive: datetime, stop_inclusive: datetime) -> int:
        """Return how many slots lie there; from MAX_COUNTED on it means at least so many."""
        return self._count(*_bounds(start_exclusive, stop_inclusive))

    @abstractmethod
    def in_words(self) -> str:
        """Say when the rule fires, for people."""

    @abstractmethod
    def per_day(self) -> float:
        """Return how often the rule fires in a day, in the long run."""

    @abstractmethod
    def warnings(self) -> list[str]:
        """Return what is allowed and looks like a mistake, a sentence each."""

    # All of these look at the seconds in [since, until).

    @abstractmethod
    def _first(self, since: int, until: int) -> int | None: ...

    @abstractmethod
    def _last(self, since: int, until: int) -> int | None: ...

    @abstractmethod
    def _each(self, since: int, until: int) -> Iterator[int]: ...

    @abstractmethod
    def _count(self, since: int, until: int) -> int: ...


def _instant(slot: int | None) -> datetime | None:
    return None if slot is None else instant_of(slot)


def _bounds(start_exclusive: datetime, stop_inclusive: datetime) -> tuple[int, int]:
    since = max(seconds_of(start_exclusive) + 1, _BEGINNING_OF_TIME)
    return since, min(seconds_of(stop_inclusive) + 1, END_OF_TIME)
