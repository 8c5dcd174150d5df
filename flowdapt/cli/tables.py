"""Decide how rows become a table that fits the terminal: what shrinks, what goes, what is cut.

Cells hold hostile text: each is escaped before its width is known.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowdapt.cli.screen import Screen, paint
from flowdapt.domain.display import escape_controls

__all__ = ["Column", "draw", "fields", "width_of"]

Row = Mapping[str, Any]
_GAP = "  "
_FLEX_MIN, _MIN = 16, 4


@dataclass(frozen=True, slots=True)
class Column:
    """A column. `wide` ones show with `-o wide` only.

    Where the room ends, `flex` columns are cut first; if that is not enough, columns without
    `keep` go, from the right.
    """

    title: str
    cell: Callable[[Row], str]
    wide: bool = False
    keep: bool = False
    right: bool = False
    flex: bool = False
    style: Callable[[Row], str | None] | None = None


@dataclass(slots=True)
class _Drawn:
    """A column that is about to be drawn: its cells are escaped, its width is what they get."""

    column: Column
    cells: list[str]
    width: int


def draw(
    screen: Screen,
    columns: Sequence[Column],
    rows: Sequence[Row],
    *,
    wide: bool,
    nothing: str = "nothing found",
) -> None:
    """Write the rows; without any, say so to stderr and write nothing."""
    if not rows:
        screen.note(nothing, "dim")
        return
    drawn = [_measured(column, rows) for column in columns if wide or not column.wide]
    if not wide:
        drawn = [one for one in drawn if any(one.cells)]
    if screen.width is not None and not wide:
        drawn = _fitted(drawn, screen.width)
    heads = [(one.column.title.upper(), "head") for one in drawn]
    screen.ready(_line(heads, drawn, screen.color_out))
    for place, row in enumerate(rows):
        cells = [(one.cells[place], _style(one.column, row)) for one in drawn]
        screen.ready(_line(cells, drawn, screen.color_out))


def fields(screen: Screen, pairs: Sequence[tuple[str, str]], *, indent: str = "") -> None:
    """Write names and values, one a line, values in one column; empty ones are left out."""
    shown = [(name, value) for name, value in pairs if value]
    edge = max((len(name) for name, _ in shown), default=0) + len(indent) + 2
    for name, value in shown:
        first, *rest = _wrapped(value, screen.width, edge)
        screen.styled((f"{indent}{name}:".ljust(edge), "dim"), (first, None))
        for line in rest:
            screen.data(" " * edge + line)


def _wrapped(value: str, width: int | None, edge: int) -> list[str]:
    """Break between words only: a path that is cut cannot be copied."""
    import textwrap

    if width is None or len(value) <= width - edge:
        return [value]
    room = max(width - edge, _FLEX_MIN)
    return textwrap.wrap(value, room, break_long_words=False, break_on_hyphens=False) or [value]


def _measured(column: Column, rows: Sequence[Row]) -> _Drawn:
    cells = [escape_controls(column.cell(row)) for row in rows]
    return _Drawn(column, cells, max(len(column.title), *(width_of(cell) for cell in cells)))


def _style(column: Column, row: Row) -> str | None:
    return column.style(row) if column.style else None


def width_of(text: str) -> int:
    """Return how many terminal columns an escaped text takes."""
    if text.isascii():
        return len(text)
    return sum(_char_width(char) for char in text)


def _char_width(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _fitted(drawn: list[_Drawn], room: int) -> list[_Drawn]:
    """Make the table as narrow as the room: cut, leave out, and in the end cut everything."""
    while True:
        if _squeeze([one for one in drawn if one.column.flex], drawn, room, _FLEX_MIN):
            return drawn
        place = next((i for i in range(len(drawn) - 1, -1, -1) if not drawn[i].column.keep), None)
        if place is None:
            _squeeze(drawn, drawn, room, _MIN)
            return drawn
        drawn = drawn[:place] + drawn[place + 1 :]
        for one in drawn:
            one.width = max(len(one.column.title), *(width_of(cell) for cell in one.cells))


def _squeeze(narrowed: list[_Drawn], every: list[_Drawn], room: int, least: int) -> bool:
    """Cut the widest of some columns until all fit; say whether they do."""
    while (too_much := _total(every) - room) > 0:
        widest = max(narrowed, key=lambda one: one.width, default=None)
        if widest is None or widest.width <= least:
            return False
        widest.width = max(least, widest.width - max(1, too_much // len(narrowed)))
    return True


def _total(drawn: Sequence[_Drawn]) -> int:
    return sum(one.width for one in drawn) + len(_GAP) * (len(drawn) - 1)


def _line(cells: Sequence[tuple[str, str | None]], drawn: Sequence[_Drawn], color: bool) -> str:
    parts = []
    for (text, style), one in zip(cells, drawn, strict=True):
        cut = _cut(text, one.width)
        space = " " * (one.width - width_of(cut))
        shown = paint(cut, style) if color else cut
        parts.append(space + shown if one.column.right else shown + space)
    return _GAP.join(parts).rstrip() + "\n"


def _cut(text: str, width: int) -> str:
    if width_of(text) <= width:
        return text
    kept, used = "", 0
    for char in text:
        used += _char_width(char)
        if used > width - 1:
            break
        kept += char
    return kept + "…"
