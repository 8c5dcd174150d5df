"""Lay out what is told of one thing: headings, pairs of name and value, lines, blocks; all of it safe."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll

from flowdapt.tui.widgets.safe import SafeText, line, lines

if TYPE_CHECKING:
    from flowdapt.tui.app import FlowdaptApp

__all__ = ["Pane", "Prose"]

_NAME = 10


class Prose:
    """A page that grows from the top. Roles are the theme's (`dim`, `bad`, `state-failed`, …)."""

    def __init__(self, app: FlowdaptApp) -> None:
        self._app = app
        self._lines: list[Text] = []

    @property
    def desk(self) -> FlowdaptApp:
        return self._app

    def head(self, words: str) -> Prose:
        """Begin a part."""
        if self._lines:
            self._lines.append(Text())
        return self.parts((words.upper(), "head"))

    def pair(self, name: str, value: object, role: str = "") -> Prose:
        """Add `name  value`; a value that is None or empty is left out, one of several lines goes on below."""
        shown = lines(value) if value not in (None, "") else []
        for at, one in enumerate(shown):
            self.parts((f"{'' if at else name:<{_NAME}}", "dim"), (one, role))
        return self

    def text(self, words: object, role: str = "") -> Prose:
        """Add lines as they are, wrapped where they are long."""
        style = self._app.style_of(role)
        for one in lines(words):
            self._lines.append(Text(one, style, overflow="fold"))
        return self

    def parts(self, *parts: tuple[object, str]) -> Prose:
        """Add one line of pieces with a role each."""
        made = line((text, self._app.style_of(role)) for text, role in parts)
        made.no_wrap, made.overflow = False, "fold"
        self._lines.append(made)
        return self

    def table(self, rows: Iterable[Iterable[tuple[object, str]]], gap: str = "  ") -> Prose:
        """Add lines whose pieces stand in columns."""
        made = [[(str(text), role) for text, role in row] for row in rows]
        widths = [max(map(len, column)) for column in _columns(made)]
        for row in made:
            padded = zip(row, widths, strict=False)
            self.parts(*((f"{text:<{width}}{gap}", role) for (text, role), width in padded))
        return self

    @property
    def made(self) -> Text:
        return Text("\n").join(self._lines)


def _columns(rows: list[list[tuple[str, str]]]) -> list[list[str]]:
    most = max(map(len, rows), default=0)
    return [[row[at][0] for row in rows if len(row) > at] for at in range(most)]


class Pane(VerticalScroll, can_focus=False):
    """Prose that scrolls by itself, beside or below a list."""

    def compose(self) -> ComposeResult:
        yield SafeText("", id="prose")

    def show(self, prose: Prose | None, words: str = "") -> None:
        """Draw a page, or plain words."""
        self.query_one("#prose", SafeText).show(prose.made if prose is not None else words)
