"""Decide which lines of a log are in sight: a window on what the daemon holds, moved by pages both ways.

At most 3,000 lines are held, of a log of any length. Following keeps the window at the end; whoever looks
elsewhere is not moved by what arrives.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

__all__ = ["LEVELS", "LogChoice", "LogLine", "LogWindow", "line_of"]

PAGE = 500
MOST = 3000
LEVELS = ("debug", "info", "warning", "error", "critical")


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line as the daemon tells it."""

    number: int
    time: float
    stage: str
    attempt: int
    index: int | None
    stream: str
    level: str
    text: str

    @property
    def clock(self) -> str:
        return datetime.fromtimestamp(self.time, UTC).strftime("%H:%M:%S.%f")[:-3]

    @property
    def place(self) -> str:
        item = "" if self.index is None else f"[{self.index}]"
        return f"{self.stage}{item}"

    def plain(self) -> str:
        """Return the line as it is copied and saved."""
        return f"{self.clock} {self.place} {self.level:<7} {self.text}"


def line_of(found: Mapping[str, Any]) -> LogLine:
    return LogLine(
        int(found["number"]), float(found["time"]), str(found["stage"]), int(found["attempt"]),
        found.get("index"), str(found.get("stream", "")), str(found.get("level", "info")),
        str(found["text"]),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class LogChoice:
    """Which lines are shown. `only` shows matches alone, with `context` lines around each."""

    stage: str | None = None
    level: str | None = None
    attempt: int | None = None
    index: int | None = None
    sought: str = ""
    only: bool = False
    context: int = 0

    @property
    def parameters(self) -> dict[str, Any]:
        """Return what the server is asked with."""
        return self._heads | ({"grep": self.sought, "context": self.context} if self._greps else {})

    @property
    def finding(self) -> dict[str, Any]:
        """Return what the server is asked with for the next match."""
        return self._heads | {"grep": self.sought, "limit": 1}

    @property
    def words(self) -> str:
        """Return in words what is left out."""
        item = "" if self.index is None else f"[{self.index}]"
        around = f" ±{self.context}" if self.context else ""
        said = (
            f"{self.stage}{item}" if self.stage else "",
            f"{self.level} and above" if self.level else "",
            f"attempt {self.attempt}" if self.attempt else "",
            f"only /{self.sought}{around}" if self._greps else f"/{self.sought}" if self.sought else "",
        )  # fmt: skip
        return "   ".join(one for one in said if one)

    def next_level(self) -> LogChoice:
        """Return it with the next higher level; after the highest all are shown."""
        if self.level is None:
            return replace(self, level="info")
        at = LEVELS.index(self.level) + 1
        return replace(self, level=LEVELS[at] if at < len(LEVELS) else None)

    def next_context(self) -> LogChoice:
        """Return it with matches among all lines, then alone, then with 2 and 5 lines around."""
        steps = ((False, 0), (True, 0), (True, 2), (True, 5))
        at = (steps.index((self.only, self.context)) + 1) % len(steps)
        return replace(self, only=steps[at][0], context=steps[at][1])

    @property
    def _greps(self) -> bool:
        return self.only and bool(self.sought)

    @property
    def _heads(self) -> dict[str, Any]:
        return {"stage": self.stage, "level": self.level, "attempt": self.attempt, "index": self.index}  # fmt: skip


@dataclass(slots=True)
class LogWindow:
    """The lines that are held, in order, and whether there are more before and behind them."""

    choice: LogChoice = field(default_factory=LogChoice)
    lines: list[LogLine] = field(default_factory=list)
    loaded: bool = False
    at_start: bool = True
    at_end: bool = True
    truncated: bool = False
    # How many lines the log has, of all stages and levels; and the newest that fits the choice.
    total: int = 0
    newest: int = 0
    _after: int = 0

    def reset(self, choice: LogChoice) -> None:
        """Begin anew with another choice."""
        self.choice = choice
        self.lines, self.loaded, self._after, self.newest = [], False, 0, 0
        self.at_start = self.at_end = True

    # --- what is asked for -----------------------------------------------------------------------

    def the_end(self) -> dict[str, Any]:
        return self.choice.parameters | {"tail": True, "limit": PAGE}

    def the_start(self) -> dict[str, Any]:
        return self.choice.parameters | {"limit": PAGE}

    def older(self) -> dict[str, Any]:
        return self.choice.parameters | {
            "before": self.lines[0].number,
            "tail": True,
            "limit": PAGE,
        }

    def newer(self) -> dict[str, Any]:
        return self.choice.parameters | {"after": self._after, "limit": PAGE}

    def the_newest(self) -> dict[str, Any]:
        return self.choice.parameters | {"tail": True, "limit": 1, "context": None}

    def around(self, number: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the two questions for the lines before and from a number on."""
        half = PAGE // 2
        asked = self.choice.parameters
        return (
            asked | {"before": number, "tail": True, "limit": half},
            asked | {"after": number - 1, "limit": half},
        )

    # --- what comes back -------------------------------------------------------------------------

    def take_end(self, page: Mapping[str, Any]) -> None:
        """Take the last page in place of all."""
        self._replace(page, _lines(page))
        self.at_start, self.at_end = len(self.lines) < PAGE, True

    def take_start(self, page: Mapping[str, Any]) -> None:
        self._replace(page, _lines(page))
        self.at_start, self.at_end = True, len(self.lines) < PAGE

    def take_around(self, before: Mapping[str, Any], behind: Mapping[str, Any]) -> None:
        """Take the lines before and from a number on in place of all."""
        older, newer = _lines(before), _lines(behind)
        self._replace(behind, _merged(older, newer))
        self.at_start, self.at_end = len(older) < PAGE // 2, len(newer) < PAGE // 2

    def take_older(self, page: Mapping[str, Any]) -> int:
        """Take the page before; return how many lines were put before those known."""
        found = _lines(page)
        known = len(self.lines)
        self.lines = _merged(found, self.lines)
        added = len(self.lines) - known
        self.at_start = len(found) < PAGE
        if len(self.lines) > MOST:
            del self.lines[MOST:]
            self._after, self.at_end = self.lines[-1].number, False
        return added

    def take_newer(self, page: Mapping[str, Any]) -> int:
        """Take the page behind; return how many lines were let go of at the top."""
        found = _lines(page)
        self.lines = _merged(self.lines, found)
        self._note(page)
        self.at_end = len(found) < PAGE
        gone = max(len(self.lines) - MOST, 0)
        if gone:
            del self.lines[:gone]
            self.at_start = False
        return gone

    def take_newest(self, page: Mapping[str, Any]) -> None:
        """Take note of what came, and show none of it."""
        self.total = max(self.total, int(page.get("next_after") or 0))
        self.newest = max([self.newest, *(line.number for line in _lines(page))])

    @property
    def unseen(self) -> str:
        """Return in words what came behind the lines that are held; empty when nothing did."""
        last = self.lines[-1].number if self.lines else 0
        if not self.at_end or self.newest <= last:
            return ""
        return "new lines" if self.choice.words else f"{self.newest - last:,} new"

    def place_of(self, number: int) -> int:
        """Return where the line of a number stands, or the next one behind it."""
        return bisect_left(self.lines, number, key=lambda line: line.number)

    def _replace(self, page: Mapping[str, Any], lines: list[LogLine]) -> None:
        self.lines, self.loaded = lines, True
        self._note(page)

    def _note(self, page: Mapping[str, Any]) -> None:
        self._after = int(page.get("next_after") or 0)
        self.total = max(self.total, self._after, self.lines[-1].number if self.lines else 0)
        self.truncated = bool(page.get("truncated"))


def _lines(page: Mapping[str, Any]) -> list[LogLine]:
    return [line_of(one) for one in page.get("items", ())]


def _merged(first: Sequence[LogLine], second: Iterable[LogLine]) -> list[LogLine]:
    """Join two stretches in order; context around matches may be in both."""
    last = first[-1].number if first else 0
    later = list(second)
    if not later or later[0].number > last:
        return [*first, *later]
    held = {line.number: line for line in (*first, *later)}
    return [held[number] for number in sorted(held)]
