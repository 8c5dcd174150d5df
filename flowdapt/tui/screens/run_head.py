"""The lines above the tabs of a run: what holds for all of it, and the names of the tabs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual import events
from textual.widget import Widget

from flowdapt.tui.model.run_facts import facts_of
from flowdapt.tui.model.words import state_of
from flowdapt.tui.widgets.safe import cut, line

if TYPE_CHECKING:
    from flowdapt.tui.screens.run_detail import RunDetail

__all__ = ["RunFacts", "RunTabs"]

_FACT_LINES = 2


class _Line(Widget):
    """A part of the screen that is drawn from what the screen knows."""

    @property
    def page(self) -> RunDetail:
        return self.screen  # type: ignore[return-value]  # the only screen these lines are on


class RunFacts(_Line):
    """The lines above the tabs: state and name, then as many facts as fit."""

    DEFAULT_CSS: ClassVar[str] = "RunFacts { height: 3; padding: 0 1; }"

    def render(self) -> Text:
        page = self.page
        run, app, width = page.run, page.desk, max(self.size.width, 1)
        if run is None:
            return line([(page.trouble or "reading …", app.style_of("dim"))])
        word = state_of(run)
        lines = [
            line([
                (f"{app.glyphs.state(word)} {word}", f"bold {app.state_colour(word)}"),
                (f"  {run.name}", "bold"), (f"  {run.uid}", app.style_of("dim")),
            ])
        ]  # fmt: skip
        pieces: list[tuple[object, Any]] = []
        for name, value in facts_of(run, app.now()):
            shown = cut(value, width - len(name) - 1, app.glyphs.more)
            used = sum(len(str(text)) for text, _ in pieces)
            if pieces and used + len(name) + len(shown) + 1 > width:
                lines.append(line(pieces))
                pieces = []
            pieces += [(f"{name} ", app.style_of("dim")), (f"{shown}   ", None)]
        return Text("\n").join([*lines, line(pieces)][: _FACT_LINES + 1])


class RunTabs(_Line):
    """The names of the tabs; a closed one is dim. A click opens one."""

    DEFAULT_CSS: ClassVar[str] = "RunTabs { height: 1; padding: 0 1; background: $surface; }"

    def render(self) -> Text:
        page = self.page
        app = page.desk
        pieces: list[tuple[object, Any]] = []
        for pane in page.panes:
            if pane is page.pane:
                pieces.append((f"[{pane.tab}]", f"bold {app.colour('key')}"))
            else:
                closed = page.run is not None and pane.closed(page.run) is not None
                strike = " strike" if closed else ""
                pieces += [(" ", None), (pane.tab, app.colour("dim") + strike), (" ", None)]
        return line(pieces)

    def on_click(self, event: events.Click) -> None:
        page = self.page
        at = 1
        for pane in page.panes:
            if at <= event.x < at + len(pane.tab) + 2:
                page.open_tab(pane.tab)
            at += len(pane.tab) + 2
