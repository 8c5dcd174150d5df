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
_NARROWEST = 8


@dataclass(frozen=True, slots=True)
class Column:
    """A column. `wide` ones show with `-o wide` only; one with `keep` is never left out.

    Where the room ends, columns without `keep` go from the right, then the longest are cut.
    """

    title: str
    cell: Callable[[Row], str]
    wide: bool = False
    keep: bool = False
    right: bool = False
    style: Callable[[Row], str | None] | None = None


def draw(screen: Screen, columns: Sequence[Column], rows: Sequence[Row], *, wide: bool) -> None:
    """Write the rows; without any, say so to stderr and write nothing."""
    if not rows:
        screen.note("nothing found", "dim")
        return
    chosen = [column for column in columns if wide or not column.wide]
    cells = [[_cell(column, row) for column in chosen] for row in rows]
    widths = _widths(chosen, cells)
    room = None if wide else screen.width
    chosen, cells, widths = _without_what_does_not_fit(chosen, cells, widths, room)
    heads = [(column.title.upper(), "head") for column in chosen]
    lines = [
        heads,
        *(
            [(c, _style(k, r)) for c, k in zip(cs, chosen, strict=True)]
            for cs, r in zip(cells, rows, strict=True)
        ),
    ]
    for line in lines:
        screen.ready(_line(line, chosen, widths, screen.color_out) + "\n")


def fields(screen: Screen, pairs: Sequence[tuple[str, str]], *, indent: str = "") -> None:
    """Write names and values, one a line, values in one column; empty ones are left out."""
    shown = [(name, value) for name, value in pairs if value]
    longest = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        label = f"{indent}{name}:".ljust(longest + len(indent) + 2)
        screen.styled((label, "dim"), (value, None))


def _cell(column: Column, row: Row) -> str:
    return escape_controls(column.cell(row))


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


def _widths(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> list[int]:
    return [
        max(len(column.title), *(width_of(row[place]) for row in cells))
        for place, column in enumerate(columns)
    ]


def _without_what_does_not_fit(
    columns: list[Column], cells: list[list[str]], widths: list[int], room: int | None
) -> tuple[list[Column], list[list[str]], list[int]]:
    if room is None:
        return columns, cells, widths
    while _total(widths) > room:
        place = next((i for i in range(len(columns) - 1, -1, -1) if not columns[i].keep), None)
        if (
            place is None
            or _total(_squeezed(widths, room)) <= room < _total(widths) - 3 * _NARROWEST
        ):
            break
        columns, widths = _without(columns, place), _without(widths, place)
        cells = [_without(row, place) for row in cells]
    return columns, cells, _squeezed(widths, room)


def _without(values: list[Any], place: int) -> list[Any]:
    return values[:place] + values[place + 1 :]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _squeezed(widths: Sequence[int], room: int) -> list[int]:
    """Cut the widest columns until the line fits, none below a readable width."""
    squeezed = list(widths)
    while _total(squeezed) > room and max(squeezed) > _NARROWEST:
        squeezed[squeezed.index(max(squeezed))] -= 1
    return squeezed


def _line(
    cells: Sequence[tuple[str, str | None]],
    columns: Sequence[Column],
    widths: Sequence[int],
    color: bool,
) -> str:
    parts = []
    for (text, style), column, width in zip(cells, columns, widths, strict=True):
        cut = _cut(text, width)
        space = " " * (width - width_of(cut))
        drawn = paint(cut, style) if color else cut
        parts.append(space + drawn if column.right else drawn + space)
    return _GAP.join(parts).rstrip()


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
