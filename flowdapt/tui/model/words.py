"""Decide the words, glyphs and styles of states on screen; each state is glyph + word + colour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from flowdapt.domain.run import Run, StageRun
from flowdapt.domain.wording import STATE_GLYPHS, coarse, duration

__all__ = [
    "ASCII",
    "STATES",
    "UNICODE",
    "Glyphs",
    "age",
    "error_line",
    "state_of",
    "took",
    "took_between",
]

STATES = tuple(STATE_GLYPHS)
_ASCII_STATES: Mapping[str, str] = {
    "finished": "+", "running": ">", "failed": "x", "queued": "o", "pending": ".",
    "cancelling": "!", "cancelled": "#", "skipped": "-", "retrying": "~", "partial": "%",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Glyphs:
    """One set of signs: for good fonts, or for any font."""

    states: Mapping[str, str]
    mark: str
    cursor: str
    more: str
    up: str
    down: str
    dot: str
    blocks: str
    bar: str
    rail: str
    arrow: str
    warning: str

    def state(self, word: str) -> str:
        return self.states.get(word, "?")

    def meter(self, part: float, width: int) -> str:
        """Return a bar that is filled to `part` (0 to 1)."""
        full = round(max(0.0, min(part, 1.0)) * width)
        return self.bar * full + self.rail * (width - full)

    def spark(self, values: list[float]) -> str:
        """Return a series as blocks between its least and its most."""
        if not values:
            return ""
        # Halved, so that numbers at the ends of what a float holds have a finite distance.
        values = [value / 2 for value in values]
        low, span = min(values), (max(values) - min(values)) or 1.0
        top = len(self.blocks) - 1
        return "".join(self.blocks[round((value - low) / span * top)] for value in values)


UNICODE = Glyphs(
    STATE_GLYPHS, mark="●", cursor="▌", more="…", up="↑", down="↓", dot="·",
    blocks="▁▂▃▄▅▆▇█", bar="█", rail="░", arrow="→", warning="▲",
)  # fmt: skip
ASCII = Glyphs(
    _ASCII_STATES, mark="*", cursor=">", more="~", up="^", down="v", dot="-",
    blocks="_.-=+*#@", bar="#", rail=".", arrow="->", warning="!",
)  # fmt: skip


def state_of(one: Run | StageRun) -> str:
    """Return the word of a state; a partial success has one of its own."""
    return "partial" if isinstance(one, Run) and one.partial else one.state.value


def age(when: datetime | None, now: datetime) -> str:
    return "" if when is None else coarse((now - when).total_seconds())


def took(one: Run | StageRun, now: datetime) -> str:
    """Return how long it took, or has taken so far."""
    if one.duration_s is not None and one.finished_at is not None:
        return duration(one.duration_s)
    if one.started_at is None:
        return ""
    return duration(((one.finished_at or now) - one.started_at).total_seconds())


def error_line(one: Run | StageRun) -> str:
    """Return why it failed, or its reason, on one line."""
    if one.error is not None:
        return " ".join(f"{one.error.type.rpartition('.')[2]}: {one.error.message}".split())
    return one.reason or ""


def took_between(start: datetime | None, end: datetime | None, now: datetime) -> str:
    """Return how long something took, or has taken so far."""
    return "" if start is None else duration(((end or now) - start).total_seconds())
