"""A list of rows told by keys: live updates move neither cursor nor scroll nor marks.

Draws only the lines on screen, so that 2,000 rows cost what 40 do. What the rows hold, their order
and more pages are the screen's; it is told by messages when the cursor moved or an end is near.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from flowdapt.tui.widgets.columns import Cell, Column, widths_of
from flowdapt.tui.widgets.safe import fitted, safe

if TYPE_CHECKING:
    from flowdapt.tui.app import FlowdaptApp

__all__ = ["Cell", "Column", "PagedTable"]

R = TypeVar("R")
_NEAR = 20
_EDGE = 2
_MEASURED = 400


@dataclass(frozen=True, slots=True)
class _Place:
    """What of a list a person looks at."""

    cursor: str | None
    top: str | None
    home: bool


class PagedTable(ScrollView, Generic[R], can_focus=True, inherit_bindings=False):
    """Rows of `R`. The first line is the head and stays; `key` names a row for good."""

    DEFAULT_CSS: ClassVar[str] = """
    PagedTable { height: 1fr; overflow-x: hidden; overflow-y: auto; scrollbar-size-vertical: 1; }
    """

    class Moved(Message):
        """The cursor is on another row, or the row under it changed."""

        def __init__(self, table: PagedTable[Any]) -> None:
            super().__init__()
            self.table = table

    class Opened(Message):
        """A person chose the row under the cursor (enter, a second click)."""

        def __init__(self, table: PagedTable[Any]) -> None:
            super().__init__()
            self.table = table

    class NearEnd(Message):
        """The cursor or the window is near an end: `below` says which."""

        def __init__(self, table: PagedTable[Any], below: bool) -> None:
            super().__init__()
            self.table, self.below = table, below

    def __init__(
        self,
        columns: Sequence[Column[R]],
        key: Callable[[R], str],
        *,
        empty: str = "nothing here",
        id: str | None = None,  # noqa: A002 - Textual's word
    ) -> None:
        super().__init__(id=id)
        self.columns, self._key_of = tuple(columns), key
        self.empty = empty
        self.sorted_by: tuple[str, bool] | None = None
        self.marks: set[str] = set()
        self._rows: list[R] = []
        self._keys: list[str] = []
        self._places: dict[str, int] = {}
        self._cursor = 0
        self._widths: list[tuple[Column[R], int]] = []
        self._measured_for = -1

    # --- what a screen reads ---------------------------------------------------------------------

    @property
    def rows(self) -> Sequence[R]:
        return self._rows

    @property
    def current(self) -> R | None:
        """Return the row under the cursor."""
        return self._rows[self._cursor] if self._rows else None

    @property
    def current_key(self) -> str | None:
        return self._keys[self._cursor] if self._keys else None

    @property
    def chosen(self) -> list[R]:
        """Return the marked rows, or the one under the cursor when none is."""
        marked = [row for row, key in zip(self._rows, self._keys, strict=True) if key in self.marks]
        return marked or ([self._rows[self._cursor]] if self._rows else [])

    @property
    def desk(self) -> FlowdaptApp:
        return self.app  # type: ignore[return-value]  # the only app these widgets are in

    # --- what a screen tells ---------------------------------------------------------------------

    def show(self, rows: Sequence[R]) -> None:
        """Draw these rows in place of those before; whoever looks at a row goes on looking at it."""
        before = self._place()
        self._rows = list(rows)
        self._keys = [self._key_of(row) for row in self._rows]
        self._places = {key: place for place, key in enumerate(self._keys)}
        self.marks &= self._places.keys()
        self.virtual_size = Size(0, len(self._rows) + 1)
        self._measured_for = -1
        self._restore(before)
        self.refresh()

    def change(self, row: R) -> None:
        """Draw one row anew, where it stands."""
        place = self._places.get(self._key_of(row))
        if place is not None:
            self._rows[place] = row
            self.refresh_lines(place + 1)
            if place == self._cursor:
                self.post_message(self.Moved(self))

    def move(self, by: int) -> None:
        self.move_to(self._cursor + by)

    def move_to(self, place: int) -> None:
        """Put the cursor on a place and bring it into sight."""
        last = len(self._rows) - 1
        old, self._cursor = self._cursor, max(0, min(place, last))
        self._into_sight()
        if old != self._cursor:
            self.refresh()
            self.post_message(self.Moved(self))
        if self._cursor >= last - _NEAR:
            self.post_message(self.NearEnd(self, below=True))
        elif self._cursor <= _NEAR:
            self.post_message(self.NearEnd(self, below=False))

    def move_to_key(self, key: str) -> bool:
        """Put the cursor on a row; say whether it is there."""
        place = self._places.get(key)
        if place is not None:
            self.move_to(place)
        return place is not None

    def page(self, by: int) -> None:
        self.move(by * max(self._height - 1, 1))

    def toggle_mark(self) -> None:
        """Mark or unmark the row under the cursor, and go on."""
        if self.current_key is not None:
            self.marks ^= {self.current_key}
            self.refresh()
            self.move(1)

    def toggle_all(self) -> None:
        self.marks = set() if len(self.marks) == len(self._keys) else set(self._keys)
        self.refresh()
        self.post_message(self.Moved(self))

    def as_csv(self) -> str:
        """Return all rows that are loaded, as their cells are drawn, spreadsheet formulas defused."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([column.title for column in self.columns])
        for row in self._rows:
            writer.writerow([_plain(column.cell(row, self.desk).text) for column in self.columns])
        return out.getvalue()

    # --- where one looks -------------------------------------------------------------------------

    @property
    def _height(self) -> int:
        """Return how many rows are in sight: the head takes one line."""
        return max(self.size.height - 1, 1)

    @property
    def _top(self) -> int:
        return round(self.scroll_y)

    def _place(self) -> _Place:
        top = self._keys[self._top] if self._top < len(self._keys) else None
        return _Place(self.current_key, top, self._top == 0)

    def _restore(self, before: _Place) -> None:
        """Keep cursor and scroll on their rows; a row that is gone leaves its place to the next."""
        last = max(len(self._rows) - 1, 0)
        self._cursor = self._places.get(before.cursor or "", min(self._cursor, last))
        if not before.home and before.top in self._places:
            self._jump(self._places[before.top])
        elif self._cursor >= self._top + self._height:
            # At the top, newer rows push the cursor down; where it would leave, the list follows it.
            self._jump(self._cursor - self._height + 1)
        if self.current_key != before.cursor:
            self.post_message(self.Moved(self))

    def _jump(self, top: int) -> None:
        limit = max(len(self._rows) - self._height, 0)
        self.set_reactive(ScrollView.scroll_y, float(min(top, limit)))
        self.set_reactive(ScrollView.scroll_target_y, float(min(top, limit)))
        if self.show_vertical_scrollbar:
            self.vertical_scrollbar.position = self.scroll_y

    def _into_sight(self) -> None:
        if self._cursor < self._top:
            self._jump(self._cursor)
        elif self._cursor >= self._top + self._height:
            self._jump(self._cursor - self._height + 1)
        else:
            return
        self.refresh()

    # --- drawing ---------------------------------------------------------------------------------

    def on_resize(self) -> None:
        self._into_sight()

    def _sizes(self) -> list[tuple[Column[R], int]]:
        """Return the columns and their widths, for what is loaded: scrolling moves none of them."""
        width = self.scrollable_content_region.width
        if width != self._measured_for:
            self._measured_for = width
            self._widths = widths_of(self.columns, self._rows[:_MEASURED], width - _EDGE, self.desk)
        return self._widths

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y == 0:
            return self._head(width)
        place = self._top + y - 1
        if place >= len(self._rows):
            return self._blank(y, width)
        return self._row(place, width)

    def _blank(self, y: int, width: int) -> Strip:
        text = f"  {self.empty}" if not self._rows and y == 2 else ""  # noqa: PLR2004 - below the head
        style = self.rich_style + Style.parse(self.desk.colour("dim"))
        return Strip([Segment(fitted(text, width), style)], width)

    def _head(self, width: int) -> Strip:
        style = self.rich_style + Style.parse(f"bold {self.desk.colour('head')}")
        glyphs = self.desk.glyphs
        text = " " * _EDGE
        for column, size in self._sizes():
            arrow = ""
            if self.sorted_by is not None and self.sorted_by[0] == column.sort:
                arrow = glyphs.down if self.sorted_by[1] else glyphs.up
            text += fitted(f"{column.title.upper()}{arrow}", size, right=column.right) + "  "
        return Strip([Segment(fitted_raw(text, width), style)], width)

    def _row(self, place: int, width: int) -> Strip:
        row, key = self._rows[place], self._keys[place]
        here = place == self._cursor
        base = self.rich_style + (self.desk.cursor_style(self.has_focus) if here else Style())
        marked = key in self.marks
        glyphs = self.desk.glyphs
        edge = (glyphs.cursor if here else " ") + (glyphs.mark if marked else " ")
        segments = [
            Segment(
                edge, base + Style.parse(f"bold {self.desk.colour('mark')}") if not here else base
            )
        ]
        for column, size in self._sizes():
            cell = column.cell(row, self.desk)
            if cell.parts:
                segments += self._parts(cell, size, base)
                continue
            text = fitted(cell.text, size, right=column.right, more=glyphs.more) + "  "
            style = base if here else base + self.desk.style_of(cell.role)
            segments.append(Segment(text, style))
        return Strip(segments).adjust_cell_length(width, base).apply_offsets(0, place)

    def _parts(self, cell: Cell, size: int, base: Style) -> list[Segment]:
        """Draw a cell of several colours: the last ones that fit."""
        drawn, room = [], size
        for text, role in reversed(cell.parts):
            shown = safe(text)
            if cell_len(shown) > room:
                break
            room -= cell_len(shown)
            drawn.append(Segment(shown, base + self.desk.style_of(role)))
        return [*reversed(drawn), Segment(" " * (room + 2), base)]

    # --- the mouse -------------------------------------------------------------------------------

    def on_click(self, event: events.Click) -> None:
        place = self._top + event.y - 1
        if event.y > 0 and place < len(self._rows):
            if place == self._cursor and event.chain > 1:
                self.post_message(self.Opened(self))
            self.move_to(place)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value):
            self.refresh()
            if new_value + self._height >= len(self._rows) - _NEAR:
                self.post_message(self.NearEnd(self, below=True))

    def _on_focus_changed(self) -> None:
        self.refresh(Region(0, self._cursor - self._top + 1, self.size.width, 1))


def _plain(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    shown = safe(text)
    return f"'{shown}" if shown[:1] in {"=", "+", "-", "@"} else shown


def fitted_raw(text: str, width: int) -> str:
    """Return a text of safe pieces in exactly `width` columns; its spaces are kept."""
    from rich.cells import set_cell_size

    return set_cell_size(text, width)
