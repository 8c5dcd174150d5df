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

from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from flowdapt.tui.widgets.columns import Cell, Column
from flowdapt.tui.widgets.painting import Look, Painter
from flowdapt.tui.widgets.safe import safe

if TYPE_CHECKING:
    from flowdapt.tui.app import FlowdaptApp

__all__ = ["Cell", "Column", "PagedTable"]

R = TypeVar("R")
_NEAR = 20
_BELOW_HEAD = 2


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
        self._painter = Painter(columns)
        self._ground: tuple[int, Style] | None = None

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
        if not self.marks:
            return [self._rows[self._cursor]] if self._rows else []
        return [row for row, key in zip(self._rows, self._keys, strict=True) if key in self.marks]

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
        self._ground = None
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
            self.refresh_lines(old + 1)
            self.refresh_lines(self._cursor + 1)
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
            self.refresh_lines(self._cursor + 1)
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

    def _measure(self) -> None:
        """Fit the columns to the room, for what is loaded: scrolling moves none of them."""
        ground = (self.scrollable_content_region.width, self.rich_style)
        if ground != self._ground:
            self._ground = ground
            self._painter.begin(self._rows, *ground, self.desk)

    def render_lines(self, crop: Region) -> list[Strip]:
        self._measure()
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y == 0:
            return self._painter.head(width, self.desk, self.sorted_by)
        place = self._top + y - 1
        if place < len(self._rows):
            key = self._keys[place]
            look = Look(place == self._cursor, key in self.marks, self.has_focus)
            return self._painter.row(key, self._rows[place], look, width, self.desk)
        empty = not self._rows and y == _BELOW_HEAD
        return self._painter.blank(f"  {self.empty}" if empty else "", width, self.desk)

    def tick(self) -> None:
        """Draw the rows in sight whose words changed as time went by."""
        for place in range(self._top, min(self._top + self._height, len(self._rows))):
            if self._painter.is_stale(self._keys[place], self._rows[place], self.desk):
                self.refresh_lines(place + 1)

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

    def on_focus(self) -> None:
        self.refresh_lines(self._cursor + 1)

    def on_blur(self) -> None:
        self.refresh_lines(self._cursor + 1)


def _plain(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    shown = safe(text)
    return f"'{shown}" if shown[:1] in {"=", "+", "-", "@"} else shown
