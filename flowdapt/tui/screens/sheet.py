"""A page about one thing, read from the daemon and read again when something of it changed."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult

from flowdapt.domain.errors import FlowdaptError
from flowdapt.tui.model.news import ALL, News
from flowdapt.tui.screens.scrolling import Scrolling
from flowdapt.tui.screens.view import View
from flowdapt.tui.widgets.prose import Pane, Prose

__all__ = ["SHEET_KEYS", "Sheet"]

SHEET_KEYS = (
    "down", "up", "page_down", "page_up", "top", "bottom", "copy", "copy_yaml", "refresh",
)  # fmt: skip


class Sheet(Scrolling, View):
    """A page that scrolls. A subclass says `PARTS` and `tell`; `esc` goes back."""

    AUTO_FOCUS = ""
    PARTS: ClassVar[tuple[str, ...]] = ()

    def body(self) -> ComposeResult:
        yield Pane(id="sheet")

    async def tell(self) -> Prose:
        """Return the page."""
        raise FlowdaptError(f"{self.view} tells nothing")

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
