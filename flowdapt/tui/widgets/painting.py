"""Draw the lines of a table: head, rows, what stands there when there are none.

A row that looks as it did is not drawn again; which rows there are and where one looks is the table's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from flowdapt.tui.widgets.columns import Cell, Column, widths_of
from flowdapt.tui.widgets.safe import fitted, safe

if TYPE_CHECKING:
    from flowdapt.tui.app import FlowdaptApp

__all__ = ["Look", "Painter"]

R = TypeVar("R")
# Cursor and mark.
_EDGE = 2
_GAP = "  "
_MEASURED = 100
_KEPT = 500


@dataclass(frozen=True, slots=True)
class Look:
    """How a row stands in the list: under the cursor, marked, the list having the keys."""

    here: bool = False
    marked: bool = False
    focused: bool = False


class Painter(Generic[R]):
    """Draws the rows of one table, and remembers how they looked."""

    def __init__(self, columns: Sequence[Column[R]]) -> None:
        self.columns = tuple(columns)
        self._sizes: list[tuple[Column[R], int]] = []
        self._base = Style()
        self._drawn: dict[str, tuple[object, Strip]] = {}

    def begin(self, rows: Sequence[R], width: int, base: Style, app: FlowdaptApp) -> None:
        """Measure the columns for these rows; draw on this ground from now on."""
        sizes = widths_of(self.columns, rows[:_MEASURED], width - _EDGE, app)
        if sizes != self._sizes or base != self._base:
            self._drawn.clear()
        self._sizes, self._base = sizes, base

    def head(self, width: int, app: FlowdaptApp, sorted_by: tuple[str, bool] | None) -> Strip:
        text = " " * _EDGE
        for column, size in self._sizes:
            arrow = ""
            if sorted_by is not None and sorted_by[0] == column.sort:
                arrow = app.glyphs.down if sorted_by[1] else app.glyphs.up
            text += fitted(f"{column.title.upper()}{arrow}", size, right=column.right) + _GAP
        style = self._base + Style.parse(f"bold {app.colour('head')}")
        return Strip([Segment(set_cell_size(text, width), style)], width)

    def blank(self, words: str, width: int, app: FlowdaptApp) -> Strip:
        style = self._base + Style.parse(app.colour("dim"))
        return Strip([Segment(fitted(words, width), style)], width)

    def row(self, key: str, row: R, look: Look, width: int, app: FlowdaptApp) -> Strip:
        """Return the line of a row, the one of before when nothing on it changed."""
        cells = tuple(column.cell(row, app) for column, _ in self._sizes)
        signature = (cells, look, width, app.theme, app.glyphs)
        known = self._drawn.get(key)
        if known is not None and known[0] == signature:
            return known[1]
        strip = self._paint(cells, look, width, app)
        if len(self._drawn) >= _KEPT:
            self._drawn.clear()
        self._drawn[key] = (signature, strip)
        return strip

    def is_stale(self, key: str, row: R, app: FlowdaptApp) -> bool:
        """Say whether the cells of a row, its age above all, are others than were drawn."""
        known = self._drawn.get(key)
        cells = tuple(column.cell(row, app) for column, _ in self._sizes)
        return known is not None and known[0][0] != cells  # type: ignore[index]  # a signature is a tuple

    def _paint(self, cells: Sequence[Cell], look: Look, width: int, app: FlowdaptApp) -> Strip:
        base = self._base + (app.cursor_style(look.focused) if look.here else Style())
        segments = [self._edge(look, base, app)]
        for (column, size), cell in zip(self._sizes, cells, strict=True):
            if cell.parts:
                segments += _parts(cell, size, base, app)
                continue
            text = fitted(cell.text, size, right=column.right, more=app.glyphs.more) + _GAP
            segments.append(Segment(text, base if look.here else base + app.style_of(cell.role)))
        return Strip(segments).adjust_cell_length(width, base)

    @staticmethod
    def _edge(look: Look, base: Style, app: FlowdaptApp) -> Segment:
        text = (app.glyphs.cursor if look.here else " ") + (app.glyphs.mark if look.marked else " ")
        bold = Style.parse(f"bold {app.colour('mark')}")
        return Segment(text, base if look.here else base + bold)


def _parts(cell: Cell, size: int, base: Style, app: FlowdaptApp) -> list[Segment]:
    """Draw a cell of several colours: the last ones that fit."""
    drawn, room = [], size
    for text, role in reversed(cell.parts):
        shown = safe(text)
        if cell_len(shown) > room:
            break
        room -= cell_len(shown)
        drawn.append(Segment(shown, base + app.style_of(role)))
    return [*reversed(drawn), Segment(" " * room + _GAP, base)]
