"""Promise the log lines of stages: appended while they run, read and searched over the whole run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from flowdapt.domain.task import LogLine

__all__ = ["LogPage", "LogQuery", "LogStore", "StoredLine"]


@dataclass(frozen=True, slots=True)
class StoredLine:
    """A line as stored: `number` counts from 1 within the run and is the paging cursor."""

    number: int
    stage: str
    attempt: int
    line: LogLine


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Which lines. `grep` is a regular expression searched in the text; `context` lines around hits.

    `after` and `before` are line numbers (exclusive); with `tail` the last `limit` matching lines
    are returned, else the first.
    """

    stage: str | None = None
    min_level: str | None = None
    grep: str | None = None
    context: int = 0
    attempt: int | None = None
    index: int | None = None
    after: int = 0
    before: int | None = None
    tail: bool = False
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class LogPage:
    """Lines in order; `next_after` continues the reading, `truncated` says a cap cut the log."""

    lines: list[StoredLine]
    next_after: int
    truncated: bool = False


class LogStore(ABC):
    """Lines of runs. One writer per run (its owner); any reader."""

    @abstractmethod
    def append(self, run: str, stage: str, attempt: int, lines: Sequence[LogLine]) -> None:
        """Accept lines without blocking; they are readable within 0.5 s.

        Over the cap: a marker line once, then dropped. No space left: cut with a marker, never an
        error.
        """

    @abstractmethod
    async def flush(self, run: str) -> None:
        """Return when everything appended before is readable."""

    @abstractmethod
    async def read(self, run: str, query: LogQuery) -> LogPage:
        """Return lines; an unknown run has none. Raise InvalidInput for a bad expression."""

    @abstractmethod
    async def delete(self, run: str) -> None:
        """Forget the run's lines. Never raises for an unknown run."""
