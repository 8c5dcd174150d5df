"""A page about one thing, read from the daemon and read again when something of it changed."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult

from flowdapt.domain.errors import FlowdaptError
from flowdapt.tui.model.news import ALL, News
from flowdapt.tui.screens.view import View
from flowdapt.tui.widgets.prose import Pane, Prose

__all__ = ["SHEET_KEYS", "Sheet"]

SHEET_KEYS = (
    "down", "up", "page_down", "page_up", "top", "bottom", "copy", "copy_yaml", "refresh",
)  # fmt: skip
_LINES = 1


class Sheet(View):
    """A page that scrolls. A subclass says `PARTS` and `tell`; `esc` goes back."""

    AUTO_FOCUS = ""
    PARTS: ClassVar[tuple[str, ...]] = ()

    def body(self) -> ComposeResult:
        yield Pane(id="sheet")

    async def tell(self) -> Prose:
        """Return the page."""
        raise FlowdaptError(f"{self.view} tells nothing")

    @property
    def pane(self) -> Pane:
        return self.query_one(Pane)

    async def on_news(self, news: News) -> None:
        if ALL in news.parts or news.touches(*self.PARTS):
            self.act_refresh()

    def act_refresh(self) -> None:
        self.work(self._reread(), only="read")

    async def _reread(self) -> None:
        try:
            self.pane.show(await self.tell())
        except FlowdaptError as error:
            self.pane.show(None, f"{error.message}\n{error.fix or ''}")
        self.redraw_bars()

    # --- keys ------------------------------------------------------------------------------------

    def act_down(self) -> None:
        self.pane.scroll_relative(y=_LINES, animate=False)

    def act_up(self) -> None:
        self.pane.scroll_relative(y=-_LINES, animate=False)

    def act_page_down(self) -> None:
        self.pane.scroll_page_down(animate=False)

    def act_page_up(self) -> None:
        self.pane.scroll_page_up(animate=False)

    def act_top(self) -> None:
        self.pane.scroll_home(animate=False)

    def act_bottom(self) -> None:
        self.pane.scroll_end(animate=False)
