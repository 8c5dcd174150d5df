"""Lines of a log: drawn as far as they are in sight, a cursor, a selection, matches marked.

Which lines are held is the model's, when more are read is the pane's; it is told by messages.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from flowdapt.tui.model.logs import LogLine
from flowdapt.tui.widgets.safe import fitted, safe

if TYPE_CHECKING:
    from flowdapt.tui.app import FlowdaptApp

__all__ = ["LogView"]

_NEAR = 60
_ROLES = {"warning": "warn", "error": "bad", "critical": "bad", "debug": "dim"}
_SIGNS = {"debug": "D", "info": " ", "warning": "W", "error": "E", "critical": "C"}
_PLACE_MOST, _STEP = 20, 16


class LogView(ScrollView, can_focus=True, inherit_bindings=False):
    """Lines told by their numbers. `show` moves nobody who does not follow."""

    DEFAULT_CSS: ClassVar[str] = """
    LogView { height: 1fr; overflow-x: hidden; overflow-y: auto; scrollbar-size-vertical: 1; }
    """

    class Moved(Message):
        """A person moved the cursor or scrolled; `up` says that the end is no more in sight."""

        def __init__(self, *, up: bool) -> None:
            super().__init__()
            self.up = up

    class NearEnd(Message):
        """An end of what is held is near: `below` says which."""

        def __init__(self, *, below: bool) -> None:
            super().__init__()
            self.below = below

    def __init__(self) -> None:
        super().__init__(id="log")
        self.lines: Sequence[LogLine] = ()
        self.words = ""
        self.follows = False
        self.begun: int | None = None
        self.left = 0
        self._cursor = 0
        self._pattern: re.Pattern[str] | None = None

    @property
    def desk(self) -> FlowdaptApp:
        return self.app  # type: ignore[return-value]  # the only app these widgets are in

    @property
    def current(self) -> LogLine | None:
        return self.lines[self._cursor] if self._cursor < len(self.lines) else None

    @property
    def top(self) -> int:
        return round(self.scroll_y)

    @property
    def top_line(self) -> LogLine | None:
        return self.lines[self.top] if self.top < len(self.lines) else None

    @property
    def selected(self) -> Sequence[LogLine]:
        """Return the lines between the anchor and the cursor, or the one under it."""
        if self.begun is None:
            return [self.current] if self.current is not None else []
        current = self.current.number if self.current is not None else self.begun
        low, high = sorted((self.begun, current))
        return [line for line in self.lines if low <= line.number <= high]

    def mark(self, pattern: str) -> None:
        """Mark what matches; an expression that only the server understands is not marked."""
        try:
            self._pattern = re.compile(pattern) if pattern else None
        except re.error:
            self._pattern = None
        self.refresh()

    # --- what a pane tells -----------------------------------------------------------------------

    def show(self, lines: Sequence[LogLine], *, at: int | None = None) -> None:
        """Draw these lines. Who follows is at the end; `at` puts the cursor on a number; else nothing moves."""
        cursor, top = self.current, self.top_line
        self.lines = lines
        self.virtual_size = Size(0, len(lines))
        if self.follows:
            self._cursor = max(len(lines) - 1, 0)
            self._jump(len(lines))
        elif at is not None:
            self._cursor = self._place(at)
            self._jump(self._cursor - self._height // 2)
        else:
            self._cursor = self._place(cursor.number) if cursor is not None else 0
            self._jump(self._place(top.number) if top is not None else 0)
        self.refresh()

    def move(self, by: int) -> None:
        self.move_to(self._cursor + by)

    def move_to(self, place: int) -> None:
        """Put the cursor on a place; the end of what is held counts as the end only for who is told so."""
        last = max(len(self.lines) - 1, 0)
        before, self._cursor = self._cursor, max(0, min(place, last))
        if self._cursor < self.top:
            self._jump(self._cursor)
        elif self._cursor >= self.top + self._height:
            self._jump(self._cursor - self._height + 1)
        self.post_message(self.Moved(up=self._cursor < before))
        self._tell_near()
        self.refresh()

    def page(self, by: int) -> None:
        self.move(by * max(self._height - 1, 1))

    def slide(self, by: int) -> None:
        """Move the window sideways over long lines."""
        self.left = max(self.left + by * _STEP, 0)
        self.refresh()

    # --- inside ----------------------------------------------------------------------------------

    @property
    def _height(self) -> int:
        return max(self.size.height, 1)

    def _place(self, number: int) -> int:
        place = bisect_left(self.lines, number, key=lambda line: line.number)
        return min(place, max(len(self.lines) - 1, 0))

    def _jump(self, top: int) -> None:
        limit = max(len(self.lines) - self._height, 0)
        value = float(max(min(top, limit), 0))
        self.set_reactive(ScrollView.scroll_y, value)
        self.set_reactive(ScrollView.scroll_target_y, value)
        if self.show_vertical_scrollbar:
            self.vertical_scrollbar.position = value

    def _tell_near(self) -> None:
        if self._cursor < _NEAR or self.top < _NEAR:
            self.post_message(self.NearEnd(below=False))
        if max(self._cursor, self.top + self._height) >= len(self.lines) - _NEAR:
            self.post_message(self.NearEnd(below=True))

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value):
            self._cursor = min(max(self._cursor, self.top), self.top + self._height - 1, max(len(self.lines) - 1, 0))  # fmt: skip
            self.post_message(self.Moved(up=new_value < old_value))
            self._tell_near()
            self.refresh()

    def on_resize(self) -> None:
        self._jump(len(self.lines) if self.follows else self.top)

    def on_click(self, event: events.Click) -> None:
        if self.top + event.y < len(self.lines):
            self.move_to(self.top + event.y)

    # --- drawing ---------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        width, place = self.size.width, self.top + y
        if place >= len(self.lines):
            text = fitted(f"  {self.words}" if not self.lines and y == 1 else "", width)
            return Strip([Segment(text, self.rich_style + self.desk.style_of("dim"))], width)
        return self._drawn(place, self.lines[place], width).apply_offsets(0, place)

    def _drawn(self, place: int, line: LogLine, width: int) -> Strip:
        app = self.desk
        here = place == self._cursor and not self.follows
        base = self.rich_style + (app.cursor_style(self.has_focus) if here else Style())
        role = _ROLES.get(line.level, "")
        head = (
            f"{app.glyphs.cursor if here else app.glyphs.mark if self._is_selected(line) else ' '}"
        )
        room = max((len(one.place) for one in self.lines[self.top : self.top + self._height]), default=1)  # fmt: skip
        where = fitted(line.place, min(room, _PLACE_MOST, max(width // 4, 6)), more=app.glyphs.more)
        clock = f"{line.clock} " if width >= 70 else f"{line.clock[:8]} "  # noqa: PLR2004 - narrow
        segments = [
            Segment(head, base + app.style_of("mark")),
            Segment(clock, base if here else base + app.style_of("dim")),
            Segment(f"{where} ", base if here else base + app.style_of("busy")),
            Segment(f"{_SIGNS.get(line.level, ' ')} ", base if here else base + app.style_of(role)),
            *self._text(line, base if here else base + app.style_of(role)),
        ]
        return Strip(segments).adjust_cell_length(width, base)

    def _is_selected(self, line: LogLine) -> bool:
        if self.begun is None or self.current is None:
            return False
        return min(self.begun, self.current.number) <= line.number <= max(self.begun, self.current.number)  # fmt: skip

    def _text(self, line: LogLine, style: Style) -> list[Segment]:
        """Return the text from the column in sight on, its matches marked."""
        text = line.text.expandtabs(4)[self.left : self.left + self.size.width]
        if self._pattern is None:
            return [Segment(safe(text), style)]
        found, at = [], 0
        for match in self._pattern.finditer(text):
            if match.end() > match.start():
                found += [Segment(safe(text[at : match.start()]), style)]
                found += [Segment(safe(match[0]), style + Style(reverse=True))]
                at = match.end()
        return [*found, Segment(safe(text[at:]), style)]
