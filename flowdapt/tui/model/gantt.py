"""Decide what a Gantt chart of a run says: where each stage's bar begins and ends, how far it is, when it ends.

Works in seconds since the run began and in columns of a terminal; glyphs and colours are the widget's.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from flowdapt.domain.run import Run, StageRun
from flowdapt.domain.wording import coarse, duration

__all__ = ["Paces", "Piece", "Scale", "Timeline", "Zoom", "bar_of", "done_of", "words_of"]

_STEPS = (1, 2, 5, 10, 15, 20, 30)
_UNITS = ((1.0, _STEPS), (60.0, _STEPS), (3600.0, (1, 2, 3, 6, 12)), (86400.0, (1, 2, 5, 10)))
_TICK_ROOM = 10
_PACES = 8
_EVERY_S = 1.0
_MIN_SPAN_S = 0.001


class Piece(NamedTuple):
    """A part of a line: how many columns of what (`gap`, `wait`, `done`, `rest`)."""

    kind: str
    columns: int


@dataclass(frozen=True, slots=True)
class Zoom:
    """Which part of the run is in sight: `factor` times larger, from `left` (0 to 1) on."""

    factor: float = 1.0
    left: float = 0.0

    def by(self, times: float) -> Zoom:
        """Return it larger or smaller around its middle."""
        factor = min(max(self.factor * times, 1.0), 4096.0)
        middle = self.left + 0.5 / self.factor
        return _zoomed(factor, middle - 0.5 / factor)

    def moved(self, screens: float) -> Zoom:
        return _zoomed(self.factor, self.left + screens / self.factor)


def _zoomed(factor: float, left: float) -> Zoom:
    return Zoom(factor, min(max(left, 0.0), 1.0 - 1.0 / factor))


@dataclass(frozen=True, slots=True)
class Scale:
    """Columns of a chart as seconds: `width` columns show `span` seconds from `start` on."""

    start: float
    span: float
    width: int

    def column(self, second: float) -> int:
        place = (second - self.start) / self.span * self.width
        return round(min(max(place, 0.0), float(self.width)))

    def ticks(self) -> list[tuple[int, str]]:
        """Return the columns of the axis that are named, with round numbers of seconds."""
        step = _step(self.span / max(self.width // _TICK_ROOM, 1))
        first = int(self.start / step + 0.999999)
        count = int((self.start + self.span) / step) - first + 1
        seconds = [(first + at) * step for at in range(max(count, 0))]
        return [(self.column(second), _tick(second)) for second in seconds]


def _step(least: float) -> float:
    """Return the least round span of time that is at least so long."""
    small = 1e-4
    while small < 1:
        for times in (1, 2, 5):
            if small * times >= least:
                return small * times
        small *= 10
    found = (unit * step for unit, steps in _UNITS for step in steps if unit * step >= least)
    return next(found, _days(least))


def _days(least: float) -> float:
    return (least // 86400.0 + 1) * 86400.0


def _tick(second: float) -> str:
    if second == 0:
        return "0"
    if second < 1:
        return f"{second * 1000:g}ms"
    if second < 60:  # noqa: PLR2004 - a minute
        return f"{second:g}s"
    return coarse(second) if second % 60 == 0 else duration(second)


@dataclass(frozen=True, slots=True)
class Timeline:
    """The stages of a run in time. `origin` is where it began, `span` how long it has taken."""

    origin: datetime
    span: float
    now: datetime

    @classmethod
    def of(cls, run: Run, now: datetime) -> Timeline:
        origin = run.started_at or run.created_at
        ends = [
            stage.finished_at for stage in run.stages if stage.finished_at and not stage.inherited
        ]
        end = max([run.finished_at, *ends] if run.finished_at else [now, *ends])
        return cls(origin, max((end - origin).total_seconds(), _MIN_SPAN_S), now)

    def scale(self, width: int, zoom: Zoom) -> Scale:
        return Scale(zoom.left * self.span, self.span / zoom.factor, max(width, 1))

    def place(self, stage: StageRun) -> tuple[float, float] | None:
        """Return when a stage began and ended, or has come to; None when it has not begun."""
        if stage.started_at is None or stage.inherited:
            return None
        begin = (stage.started_at - self.origin).total_seconds()
        end = ((stage.finished_at or self.now) - self.origin).total_seconds()
        return max(begin, 0.0), max(end, begin)


def done_of(stage: StageRun) -> tuple[float, float] | None:
    """Return how much of a stage is done, and of how much: items, or what it told of itself."""
    items = stage.items
    if items is not None and items.total:
        return float(items.finished + items.failed), float(items.total)
    if stage.progress is not None and stage.progress[1]:
        return stage.progress[0], stage.progress[1]
    return None


def bar_of(stage: StageRun, line: Timeline, scale: Scale) -> list[Piece]:
    """Return the pieces of a stage's line, `scale.width` columns in all."""
    place = line.place(stage)
    if place is None or place[1] < scale.start or place[0] > scale.start + scale.span:
        return [Piece("gap", scale.width)]
    left, right = scale.column(place[0]), scale.column(place[1])
    left = min(left, scale.width - 1)
    size = max(right - left, 1)
    done = done_of(stage)
    full = size
    if done is not None and not stage.state.terminal:
        full = min(int(size * min(done[0] / done[1], 1.0)), size)
    pieces = [Piece("gap", left), Piece("done", full), Piece("rest", size - full), Piece("gap", scale.width - left - size)]  # fmt: skip
    return [piece for piece in pieces if piece.columns]


def words_of(stage: StageRun, *, glyphs: tuple[str, str, str]) -> str:
    """Return how far a stage is, folded: `x40 38✔ 2✖`, or `120/500`."""
    times, good, bad = glyphs
    items = stage.items
    if items is not None:
        total = "" if items.total is None else f"{times}{items.total:,} "
        failed = f" {items.failed:,}{bad}" if items.failed else ""
        return f"{total}{items.finished:,}{good}{failed}"
    if stage.progress is not None and not stage.state.terminal:
        done, total_ = stage.progress
        return f"{done:g}" if total_ is None else f"{done:g}/{total_:g}"
    if stage.inherited:
        return "taken over"
    return f"try {stage.attempt}" if stage.attempt > 1 else ""


@dataclass(slots=True)
class _Pace:
    """How fast one stage went of late: samples of (when, how much was done)."""

    samples: deque[tuple[datetime, float]] = field(default_factory=lambda: deque(maxlen=_PACES + 1))

    def note(self, now: datetime, done: float) -> None:
        if not self.samples or (now - self.samples[-1][0]).total_seconds() >= _EVERY_S:
            self.samples.append((now, done))

    @property
    def rates(self) -> list[float]:
        pairs = zip(self.samples, list(self.samples)[1:], strict=False)
        return [
            (after[1] - before[1]) / (after[0] - before[0]).total_seconds()
            for before, after in pairs
        ]

    def rate(self, stage: StageRun, now: datetime, done: float) -> float:
        """Return how much is done a second: of late when that is known, else since it began."""
        first = self.samples[0] if self.samples else (now, done)
        seconds = (now - first[0]).total_seconds()
        if seconds >= _EVERY_S and done > first[1]:
            return (done - first[1]) / seconds
        if stage.started_at is None:
            return 0.0
        lasted = (now - stage.started_at).total_seconds()
        return done / lasted if lasted > 0 else 0.0


@dataclass(slots=True)
class Paces:
    """How fast the open stages of a run go, and when each will have ended."""

    _by_stage: dict[str, _Pace] = field(default_factory=dict)

    def note(self, run: Run, now: datetime) -> None:
        """Take a run as it is now; call it whenever the run was read."""
        for stage in run.stages:
            done = done_of(stage)
            if stage.state.terminal or done is None:
                self._by_stage.pop(stage.name, None)
            else:
                self._by_stage.setdefault(stage.name, _Pace()).note(now, done[0])

    def rates(self, stage: StageRun) -> list[float]:
        """Return the last few speeds, the newest last."""
        pace = self._by_stage.get(stage.name)
        return pace.rates if pace is not None else []

    def left_s(self, stage: StageRun, now: datetime) -> float | None:
        """Return how many seconds a stage will go on; None when nobody can tell."""
        done, pace = done_of(stage), self._by_stage.get(stage.name)
        if done is None or pace is None or stage.state.terminal:
            return None
        rate = pace.rate(stage, now, done[0])
        return (done[1] - done[0]) / rate if rate > 0 else None
