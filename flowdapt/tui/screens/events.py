"""The journal, live: the newest events at the top, held still on a key, with what caused each and what it caused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from textual.app import ComposeResult
from textual.containers import Horizontal

from flowdapt.client.endpoints import system
from flowdapt.domain.display import json_text
from flowdapt.domain.wording import parsed
from flowdapt.tui.keys import Key
from flowdapt.tui.model.events import Event, EventWindow, about, causes, effects, kind_of
from flowdapt.tui.model.news import ALL, News
from flowdapt.tui.model.words import age
from flowdapt.tui.screens.view import LIST_KEYS, View
from flowdapt.tui.widgets.prose import Pane, Prose
from flowdapt.tui.widgets.table import Cell, Column, PagedTable

__all__ = ["Events"]

_PAGE = 500
_ROLES = {"finished": "good", "failed": "bad", "lost": "bad", "retrying": "warn", "paused": "warn"}


def _kind(event: Event) -> Cell:
    kind, data = kind_of(event), event.get("data")
    state = str(data.get("state", "")) if isinstance(data, Mapping) else ""
    role = _ROLES.get(state) or next((r for word, r in _ROLES.items() if kind.endswith(word)), "")
    return Cell(kind, role)


_COLUMNS: tuple[Column[Event], ...] = (
    Column("age", lambda one, app: Cell(age(parsed(one.get("time")), app.now()), "dim"), right=True, must=True),
    Column("event", lambda one, _: _kind(one), least=16, must=True),
    Column("about", lambda one, _: Cell(about(one)), flex=True, must=True),
    Column("source", lambda one, _: Cell(str(one.get("source") or ""), "dim"), spare=True),
)  # fmt: skip


class Events(View):
    """The view on key 7."""

    KEYS = (*(key for key in LIST_KEYS if key != "sort"), "hold", "describe")
    view, title_words = "events", "events"

    def __init__(self) -> None:
        super().__init__()
        self.window = EventWindow()

    def body(self) -> ComposeResult:
        with Horizontal(id="listing"):
            yield PagedTable[Event](_COLUMNS, lambda one: str(one["cursor"]), empty="", id="rows")
            yield Pane(id="pane")

    @property
    def rows(self) -> PagedTable[Event]:
        return self.query_one("#rows", PagedTable)

    @property
    def heading(self) -> str:
        held = f"held, {self.window.waiting} more since" if self.window.held else ""
        sought = f"/{self.window.sought}" if self.window.sought else ""
        return "   ".join(one for one in (sought, held) if one)

    def why_not(self, key: Key) -> str | None:
        if key.id in {"open", "copy", "copy_yaml", "describe"} and self.rows.current is None:
            return "there is no event"
        return super().why_not(key)

    # --- what comes in ---------------------------------------------------------------------------

    async def on_news(self, news: News) -> None:
        if ALL in news.parts:
            self.act_refresh()
        elif self.window.apply(news.events):
            self._draw()
        elif self.window.held:
            self.redraw_bars()

    def act_refresh(self) -> None:
        self.work(self._read(), only="read")

    async def _read(self) -> None:
        page = await self.client.ask(system.events(tail=True, limit=_PAGE))
        self.window.take(page["items"])
        self._draw()

    def _draw(self) -> None:
        sought = self.window.sought
        self.rows.empty = f"no event has {sought!r}" if sought else "nothing has happened yet"
        self.rows.show(self.window.rows)
        self._tell()

    # --- the pane --------------------------------------------------------------------------------

    def on_paged_table_moved(self) -> None:
        self._tell()

    def on_paged_table_opened(self, event: PagedTable.Opened) -> None:
        self.call_later(self.action_act, "open")

    def _tell(self) -> None:
        event = self.rows.current
        self.query_one(Pane).show(None if event is None else self._page_of(event))

    def _page_of(self, event: Event) -> Prose:
        prose = Prose(self.desk)
        for name in ("time", "type", "source", "subject", "run", "id", "cursor"):
            prose.pair(name, event.get(name))
        prose.pair("depth", event.get("causation_depth") or "")
        for title, found in (
            ("caused by", causes(event, self.window.known)),
            ("led to", effects(event, self.window.known)),
        ):
            if found:
                prose.head(title)
            for one in found:
                prose.parts(
                    (f"{one['cursor']:>6}  ", "dim"), (kind_of(one), ""), (f"  {about(one)}", "dim")
                )
        return prose.head("data").text(_json(event.get("data")))

    # --- keys ------------------------------------------------------------------------------------

    def act_hold(self) -> None:
        """Hold the list still, or let it go on from now."""
        self.window.held = not self.window.held
        if not self.window.held:
            self.act_refresh()
        self.redraw_bars()

    async def filtered(self, text: str) -> None:
        self.window.sought = text.strip()
        self._draw()
        self.redraw_bars()

    def act_filter(self, *words: str) -> None:
        if words:
            self.work(self.filtered(" ".join(words)), only="filter")
        else:
            self.prompt.call("/", self.window.sought)

    def act_back(self) -> None:
        """Let go of the filter first."""
        if self.window.sought:
            self.work(self.filtered(""), only="filter")
        else:
            self.desk.everywhere.act_back()

    def act_open(self) -> None:
        """Go to the run that the event is about; an event of no run gets the room of the list."""
        event = self.rows.current
        run = event.get("run") if event is not None else None
        if run:
            self.desk.open_detail("run", str(run), "show")
        else:
            self.desk.everywhere.act_zoom()

    def act_describe(self) -> None:
        self.act_open()

    def act_copy(self) -> None:
        self.desk.copy("\n".join(str(one.get("id")) for one in self.rows.chosen))

    def act_copy_yaml(self) -> None:
        self.desk.copy("\n".join(_json(dict(one)) for one in self.rows.chosen))


def _json(value: Any) -> str:
    return json_text(value, indent=2)
