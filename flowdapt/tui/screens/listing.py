"""What short lists have in common: read whole, found and sorted here, with a pane about the row in sight.

Long lists, whose pages and filters are the server's, are screens of their own (`runs`, `events`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar, Generic, TypeVar

from textual.app import ComposeResult
from textual.containers import Horizontal

from flowdapt.domain.errors import FlowdaptError
from flowdapt.tui.keys import Key
from flowdapt.tui.model.news import ALL, LINK, News
from flowdapt.tui.screens.view import LIST_KEYS, View
from flowdapt.tui.widgets.prose import Pane, Prose
from flowdapt.tui.widgets.table import Column, PagedTable

__all__ = ["LISTED", "Listing"]

R = TypeVar("R")

LISTED = LIST_KEYS
_STILL_S = 0.06
_OF_A_ROW = frozenset({"open", "copy", "copy_yaml", "describe", "mark"})


class Listing(View, Generic[R]):
    """A list of at most 2,000 rows. A subclass says `COLUMNS`, `PARTS`, `EMPTY`, `read`, `key_of`, `tell`."""

    COLUMNS: ClassVar[Sequence[Column[Any]]] = ()
    # The news after which the list is read again; how often at most, unless a connection is new.
    PARTS: ClassVar[tuple[str, ...]] = ()
    EMPTY: ClassVar[str] = "nothing here"
    # Something that no event tells: look again with each status of the daemon.
    WATCHES: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self.sought = ""
        self.trouble = ""
        self._read: list[R] = []
        self._order: tuple[int, bool] | None = None

    # --- what a subclass says --------------------------------------------------------------------

    async def read(self) -> Sequence[R]:
        """Ask for the rows."""
        raise FlowdaptError(f"{self.view} tells no rows")

    def key_of(self, row: R) -> str:
        """Return what names a row for good."""
        return str(getattr(row, "name", row))

    async def tell(self, row: R) -> Prose:
        """Return what is to be said of a row; may ask the daemon."""
        return Prose(self.desk).text(self.key_of(row))

    # --- what stands there -----------------------------------------------------------------------

    def body(self) -> ComposeResult:
        with Horizontal(id="listing"):
            yield PagedTable[R](self.COLUMNS, self.key_of, empty="", id="rows")
            yield Pane(id="pane")

    @property
    def rows(self) -> PagedTable[R]:
        return self.query_one("#rows", PagedTable)

    @property
    def current(self) -> R | None:
        return self.rows.current

    @property
    def heading(self) -> str:
        sought = f"/{self.sought}" if self.sought else ""
        marked = f"{len(self.rows.marks)} marked" if self.rows.marks else ""
        return "   ".join(one for one in (sought, marked) if one)

    def why_not(self, key: Key) -> str | None:
        if key.id in _OF_A_ROW and self.current is None:
            return "there is no row"
        return super().why_not(key)

    # --- reading ---------------------------------------------------------------------------------

    async def on_news(self, news: News) -> None:
        if ALL in news.parts:
            self.act_refresh()
        elif news.touches(*self.PARTS) or (self.WATCHES and news.touches(LINK)):
            self.soon(self.act_refresh)

    def act_refresh(self) -> None:
        self.work(self._reread(), only="read")

    async def _reread(self) -> None:
        try:
            self._read = list(await self.read())
            self.trouble = ""
        except FlowdaptError as error:
            self.trouble = error.message
        self.draw()

    def draw(self) -> None:
        """Show the rows that were read, found and sorted; an answer may come after the screen has gone."""
        if not self.query("#rows"):
            return
        found = [row for row in self._read if self.sought.lower() in self._words_of(row)]
        if self._order is not None:
            at, down = self._order
            column = self.COLUMNS[at]
            found.sort(key=lambda row: column.cell(row, self.desk).text, reverse=down)
        nothing = f"nothing has {self.sought!r}" if self.sought else self.EMPTY
        self.rows.empty = self.trouble or nothing
        self.rows.show([] if self.trouble else found)
        self._tell_again()

    def _words_of(self, row: R) -> str:
        cells = (column.cell(row, self.desk).text for column in self.COLUMNS)
        return " ".join([self.key_of(row), *cells]).lower()

    # --- the pane --------------------------------------------------------------------------------

    def on_paged_table_moved(self) -> None:
        self._tell_again()

    def on_paged_table_opened(self, event: PagedTable.Opened) -> None:
        self.call_later(self.action_act, "open")

    def _tell_again(self) -> None:
        self.work(self._tell(), only="pane")

    async def _tell(self) -> None:
        # Who holds a key down passes many rows; only the one they stop at is asked about.
        await asyncio.sleep(_STILL_S)
        if not self.query("#rows"):
            return
        row, pane = self.current, self.query_one(Pane)
        if row is None:
            pane.show(None)
            return
        try:
            pane.show(await self.tell(row))
        except FlowdaptError as error:
            pane.show(None, f"{error.message}\n{error.fix or ''}")

    # --- keys ------------------------------------------------------------------------------------

    async def filtered(self, text: str) -> None:
        self.sought = text.strip()
        self.draw()
        self.redraw_bars()

    def act_filter(self, *words: str) -> None:
        if words:
            self.work(self.filtered(" ".join(words)), only="filter")
        else:
            self.prompt.call("/", self.sought)

    def act_back(self) -> None:
        """Let go of what was sought first."""
        if self.sought:
            self.work(self.filtered(""), only="filter")
        else:
            self.desk.everywhere.act_back()

    def act_sort(self) -> None:
        """Sort by the next column, then as the daemon lists them."""
        at = 0 if self._order is None else self._order[0] + 1
        self._order = (at, False) if at < len(self.COLUMNS) else None
        title = "" if self._order is None else self.COLUMNS[at].title
        self.rows.sorted_by = (title, False) if title else None
        self.desk.say(f"sorted by {title}" if title else "in the daemon's order")
        self.draw()

    def act_copy(self) -> None:
        self.desk.copy("\n".join(self.key_of(row) for row in self.rows.chosen))

    def act_describe(self) -> None:
        self.call_later(self.action_act, "open")
