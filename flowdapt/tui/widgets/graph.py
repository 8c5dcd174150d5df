"""The stages of a workflow as boxes and lines, with the state of each; scrolls both ways, cursor on a stage."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from flowdapt.tui.model.graph import ASCII_LINES, BOX_LINES, Box, Drawing
from flowdapt.tui.model.words import ASCII
from flowdapt.tui.widgets.safe import fitted

if TYPE_CHECKING:
    from flowdapt.tui.app import FlowdaptApp

__all__ = ["GraphView"]


class GraphView(ScrollView, can_focus=True, inherit_bindings=False):
    """A drawing. `show` gives another, `colour` only other states: nothing moves then."""

    DEFAULT_CSS: ClassVar[str] = """
    GraphView { height: 1fr; scrollbar-size: 1 1; padding: 0; }
    """

    class Moved(Message):
        """The cursor is on another stage."""

    def __init__(self) -> None:
        super().__init__(id="graph")
        self.drawing: Drawing | None = None
        self.cursor: str | None = None
        self.words = ""
        self._states: Mapping[str, str] = {}
        self._by_line: dict[int, list[Box]] = {}
        self._made: dict[int, str] = {}

    @property
    def desk(self) -> FlowdaptApp:
        return self.app  # type: ignore[return-value]  # the only app these widgets are in

    def show(self, drawing: Drawing | None, words: str = "") -> None:
        """Draw a graph, or say in words why there is none."""
        self.drawing, self.words = drawing, words
        self._by_line, self._made = {}, {}
        if drawing is not None:
            for box in sorted(drawing.boxes.values(), key=lambda one: one.x):
                self._by_line.setdefault(box.y, []).append(box)
            self.virtual_size = Size(drawing.width, drawing.height)
            if self.cursor not in drawing.boxes:
                self.cursor = next(iter(drawing.boxes), None)
        self.refresh()

    def colour(self, states: Mapping[str, str]) -> None:
        """Take the states of stages by name."""
        self._states = states
        self.refresh()

    def move(self, *, down: int = 0, right: int = 0) -> None:
        """Put the cursor on a neighbour, and bring it into sight."""
        if self.drawing is None or self.cursor is None:
            return
        step = self.drawing.beside(self.cursor, by=down) if down else self.cursor
        self.move_to(self.drawing.across(step, by=right) if right else step)

    def move_to(self, name: str) -> None:
        if self.drawing is None or name not in self.drawing.boxes:
            return
        self.cursor = name
        box = self.drawing.boxes[name]
        self.scroll_to_region(Region(box.x, box.y, box.width, 1), animate=False, force=True)
        self.post_message(self.Moved())
        self.refresh()

    # --- drawing ---------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        left, top = round(self.scroll_x), round(self.scroll_y)
        if self.drawing is None:
            text = fitted(f"  {self.words}" if y == 1 else "", width)
            return Strip([Segment(text, self.rich_style + self.desk.style_of("dim"))], width)
        start, strip = self._line(y + top, left, left + width)
        return strip.crop(left - start, left - start + width).extend_cell_length(
            width, self.rich_style
        )

    def _line(self, y: int, left: int, right: int) -> tuple[int, Strip]:
        """Return a line as far as it is in sight, whole boxes at its ends, and where that begins."""
        drawing = self.drawing
        if drawing is None or y >= drawing.height:
            return left, Strip([])
        boxes = self._by_line.get(y, [])
        first = bisect_right(boxes, left, key=lambda box: box.x + box.width)
        behind = bisect_left(boxes, right, key=lambda box: box.x)
        start = x = min(left, boxes[first].x) if first < behind else left
        between = self._between(drawing, y)
        dim = self.rich_style + self.desk.style_of("dim")
        segments = []
        for box in boxes[first:behind]:
            segments += [Segment(between[x : box.x], dim), self._box(box)]
            x = box.x + box.width
        return start, Strip([*segments, Segment(between[x : max(right, x)], dim)])

    def _between(self, drawing: Drawing, y: int) -> str:
        """Return a line without its boxes; it is made once."""
        only_ascii = self.desk.glyphs is ASCII
        if y not in self._made:
            signs, arrow = (ASCII_LINES, ">") if only_ascii else (BOX_LINES, "▶")
            self._made[y] = drawing.row(y, signs, arrow)
        return self._made[y]

    def _box(self, box: Box) -> Segment:
        app = self.desk
        word = self._states.get(box.name, "pending")
        here = box.name == self.cursor
        look = app.cursor_style(self.has_focus) if here else app.style_of(f"state-{word}")
        edge = app.glyphs.cursor if here else " "
        name = fitted(box.name, box.width - 4, more=app.glyphs.more)
        style = self.rich_style + look + Style(bold=here or word == "failed")
        text = f"{edge}{app.glyphs.state(word)} {name} "
        return Segment(text, style)

    def on_click(self, event: events.Click) -> None:
        x, y = event.x + round(self.scroll_x), event.y + round(self.scroll_y)
        for box in self._by_line.get(y, ()):
            if box.x <= x < box.x + box.width:
                self.move_to(box.name)
