"""Decide how series of numbers become a plot of characters: braille dots or blocks, axes, several at once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

__all__ = ["SIGNS", "Plot", "Series", "number", "plot", "series_of"]

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_BRAILLE = 0x2800
# What series are drawn with where dots cannot be told apart.
SIGNS = "*+xo#%@&"
_LEAST_WIDTH, _LEAST_HEIGHT = 12, 3
_FARTHEST = 1e307
_NEAREST = 1e-300
_MOST_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Series:
    """What a stage recorded under a name, by step; values that are no numbers are left out of plots."""

    stage: str
    name: str
    index: int | None
    points: tuple[tuple[float, float], ...]

    @property
    def key(self) -> str:
        item = "" if self.index is None else f"[{self.index}]"
        return f"{self.stage}{item}.{self.name}"

    @property
    def finite(self) -> list[tuple[float, float]]:
        return [one for one in self.points if math.isfinite(one[1])]

    @property
    def values(self) -> list[float]:
        return [value for _, value in self.finite]

    def spark(self, count: int) -> list[float]:
        """Return at most `count` values that stand for all: the last of each stretch."""
        values = self.values
        if len(values) <= count:
            return values
        return [values[(at + 1) * len(values) // count - 1] for at in range(count)]


def series_of(found: Iterable[Mapping[str, Any]]) -> list[Series]:
    """Take what the daemon told of a run's metrics."""
    return [
        Series(
            str(one.get("stage", "")), str(one.get("name", "")), one.get("index"),
            tuple((float(point[0]), _value(point[1])) for point in one.get("points", ())),
        )
        for one in found
    ]  # fmt: skip


def _value(value: Any) -> float:
    # JSON knows neither NaN nor infinity: they come as null or as words.
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot: `rows` of (character, number of its series or None) right of `labels`, and the axis below."""

    labels: tuple[str, ...]
    rows: tuple[tuple[tuple[str, int | None], ...], ...]
    axis: str
    ticks: str
    margin: int


def plot(
    series: Sequence[Series], width: int, height: int, *, ascii_only: bool = False
) -> Plot | None:
    """Draw series into `width` by `height` characters; None when there is no room or no number."""
    # Numbers at the end of what a float holds would have an infinite distance.
    drawn = [
        [(x, max(-_FARTHEST, min(y, _FARTHEST))) for x, y in one.finite]
        for one in series[:_MOST_SHOWN]
    ]
    points = [point for one in drawn for point in one]
    if not points:
        return None
    low, high = _around(min(y for _, y in points), max(y for _, y in points))
    left, right = _around_steps(min(x for x, _ in points), max(x for x, _ in points))
    labels = _labels(low, high, height - 2)
    margin = max(map(len, labels), default=0)
    columns, lines = width - margin - 2, height - 2
    if columns < _LEAST_WIDTH or lines < _LEAST_HEIGHT:
        return None
    canvas = _Canvas(columns, lines, ascii_only=ascii_only)
    for number_, one in enumerate(drawn):
        at = [
            (
                (x - left) / (right - left) * (canvas.dots_x - 1),
                (high - y) / (high - low) * (canvas.dots_y - 1),
            )
            for x, y in one
        ]
        canvas.trace(at, number_)
    ticks = _ticks(left, right, columns)
    corner, rule = ("+", "-") if ascii_only else ("└", "─")
    return Plot(tuple(f"{label:>{margin}}" for label in labels), canvas.rows(), corner + rule * columns, ticks, margin)  # fmt: skip


def _around(low: float, high: float) -> tuple[float, float]:
    """Return the range with some air; a single value gets a range around it."""
    # A range below what its own ends can tell apart counts as one value.
    if high - low <= abs(high) * 1e-12 or high - low < _NEAREST:
        air = abs(low) * 0.1 if abs(low) > _NEAREST else 1.0
        return low - air, high + air
    return low, high


def _around_steps(left: float, right: float) -> tuple[float, float]:
    return (left - 0.5, right + 0.5) if left == right else (left, right)


def _labels(low: float, high: float, lines: int) -> list[str]:
    """Return what stands left of each line: both ends and the middle."""
    shown = {0: high, lines - 1: low}
    if lines > 4:  # noqa: PLR2004 - room for one more
        middle = (lines - 1) // 2
        shown[middle] = high - (high - low) * middle / (lines - 1)
    return [number(shown[at]) if at in shown else "" for at in range(lines)]


def _ticks(left: float, right: float, columns: int) -> str:
    start, middle, end = number(left), number((left + right) / 2), number(right)
    line = list(" " * (columns + 1))
    for text, at in ((start, 1), (middle, columns // 2 - len(middle) // 2), (end, columns + 1 - len(end))):  # fmt: skip
        if all(char == " " for char in line[max(at - 1, 0) : at + len(text) + 1]):
            line[at : at + len(text)] = text
    return "".join(line[: columns + 1])


def number(value: float) -> str:
    """Return a number to four digits or so, short."""
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e6:  # noqa: PLR2004 - seven digits are not short
        return f"{int(value):,}"
    return f"{value:.4g}"


class _Canvas:
    """Dots on characters: two by four of them a character in braille, one in ASCII."""

    def __init__(self, columns: int, lines: int, *, ascii_only: bool) -> None:
        self._columns, self._lines, self._ascii = columns, lines, ascii_only
        across, down = (1, 1) if ascii_only else (2, 4)
        self.dots_x, self.dots_y = columns * across, lines * down
        self._across, self._down = across, down
        self._bits = [[0] * columns for _ in range(lines)]
        self._owner: list[list[int | None]] = [[None] * columns for _ in range(lines)]

    def trace(self, at: Sequence[tuple[float, float]], owner: int) -> None:
        """Join points by lines, in order."""
        if at:
            self._dot(round(at[0][0]), round(at[0][1]), owner)
        for one, other in pairwise(at):
            steps = int(max(abs(other[0] - one[0]), abs(other[1] - one[1]))) + 1
            for step in range(steps + 1):
                part = step / steps
                self._dot(
                    round(one[0] + (other[0] - one[0]) * part),
                    round(one[1] + (other[1] - one[1]) * part),
                    owner,
                )

    def _dot(self, x: int, y: int, owner: int) -> None:
        column, line = x // self._across, y // self._down
        bit = 1 if self._ascii else _DOTS[y % self._down][x % self._across]
        self._bits[line][column] |= bit
        self._owner[line][column] = owner

    def rows(self) -> tuple[tuple[tuple[str, int | None], ...], ...]:
        return tuple(
            tuple(self._char(line, column) for column in range(self._columns))
            for line in range(self._lines)
        )

    def _char(self, line: int, column: int) -> tuple[str, int | None]:
        bits, owner = self._bits[line][column], self._owner[line][column]
        if not bits or owner is None:
            return " ", None
        return (SIGNS[owner] if self._ascii else chr(_BRAILLE | bits)), owner
