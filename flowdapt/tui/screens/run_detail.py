"""One run on a screen of its own: what holds for all of it above, and a tab for each way to look at it.

Reads the run again when an event concerns it, and while it is open twice a second, never while the last
answer is still on its way. What the tabs show is theirs.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from textual.app import ComposeResult

from flowdapt.domain.errors import NotFound
from flowdapt.domain.run import Run
from flowdapt.domain.yaml_writing import to_yaml
from flowdapt.tui.keys import Key
from flowdapt.tui.model.news import ALL, News
from flowdapt.tui.screens.actions.runs import RunActions
from flowdapt.tui.screens.logs import LogPane
from flowdapt.tui.screens.run_data import DataPane, ErrorPane
from flowdapt.tui.screens.run_events import EventPane
from flowdapt.tui.screens.run_gantt import GanttPane
from flowdapt.tui.screens.run_graph import GraphPane
from flowdapt.tui.screens.run_head import RunFacts, RunTabs
from flowdapt.tui.screens.run_items import ItemPane
from flowdapt.tui.screens.run_metrics import MetricPane
from flowdapt.tui.screens.run_pane import RunPane
from flowdapt.tui.screens.run_parent import ParentPane
from flowdapt.tui.widgets.table import PagedTable

__all__ = ["RunDetail"]

_PANES: tuple[type[RunPane], ...] = (
    GanttPane, GraphPane, ItemPane, LogPane, EventPane, DataPane, ErrorPane, MetricPane, ParentPane,
)  # fmt: skip
_LOOK_S = 0.5
# A run of thousands of stages takes a while to read: it is left alone for ten times as long.
_REST = 10


class RunDetail(RunActions):
    """A run, by uid, name, or a prefix of either. `tab` is what is seen first; `stage` what it is about."""

    KEYS = (
        "open", "find", "next_tab", "follow", "narrow", "level", "trace", "next_hit", "logs", "why", "retry",
        "cancel", "copy", "save", "attempt", "context", "previous_hit", "previous_tab", "down", "up",
        "page_down", "page_up", "top", "bottom", "left", "right", "mark", "copy_yaml", "zoom_in", "zoom_out",
        "parent", "delete", "refresh",
    )  # fmt: skip
    view, title_words = "run", "run"
    AUTO_FOCUS = ""

    def __init__(self, ident: str, tab: str = "show", stage: str = "") -> None:
        super().__init__()
        self.ident, self.run_name = ident, ident
        self.run: Run | None = None
        self.trouble = ""
        self.panes = [kind() for kind in _PANES]
        self._tab = tab if any(pane.tab == tab for pane in self.panes) else GanttPane.tab
        self._first_stage = stage
        self._reading = self._again = False
        self._not_before = 0.0

    def body(self) -> ComposeResult:
        yield RunFacts()
        yield RunTabs()
        yield from self.panes

    @property
    def pane(self) -> RunPane:
        return next(pane for pane in self.panes if pane.tab == self._tab)

    @property
    def table(self) -> PagedTable[Any] | None:
        return self.pane.table

    @property
    def heading(self) -> str:
        return self.pane.note or self.run_name

    def chosen_runs(self) -> Sequence[Run]:
        return [self.run] if self.run is not None else []

    def chosen_stage(self) -> str | None:
        return self.pane.stage

    def exported(self) -> tuple[str, str]:
        return self.pane.exported() or super().exported()

    @property
    def keys(self) -> list[Key]:
        """Return the keys of this tab, and what holds everywhere."""
        return [key for key in super().keys if self.find_method(key.method) is not None]

    # --- reading ---------------------------------------------------------------------------------

    def on_mount(self) -> None:
        super().on_mount()
        self.set_interval(_LOOK_S, self._look)
        self._show_tab()

    async def on_news(self, news: News) -> None:
        if ALL in news.parts:
            self.act_refresh()
        elif self.run is not None and self.run.uid in news.runs:
            self._read_soon()

    def act_refresh(self) -> None:
        self._read_soon()
        if self.run is not None:
            self.read_tab()

    def _look(self) -> None:
        """Look again at a run that is open: that a stage began, or got on, is told by no event."""
        opened = self.run is not None and not self.run.state.terminal
        if opened and self.is_current and self.desk.link.usable and time.monotonic() > self._not_before:  # fmt: skip
            self._read_soon()

    def _read_soon(self) -> None:
        self._again = True
        if not self._reading and self.desk.link.usable:
            self._reading = True
            self.begin(self._read_until_fresh)

    async def _read_until_fresh(self) -> None:
        try:
            while self._again:
                self._again = False
                began = time.monotonic()
                await self._read_once()
                self._not_before = time.monotonic() + _REST * (time.monotonic() - began)
        finally:
            self._reading = False

    async def _read_once(self) -> None:
        try:
            run = await self.client.runs.get(self.ident)
        except NotFound as error:
            self.trouble, self.run = error.message, None
            self._draw()
            return
        first, self.run = self.run is None, run
        self.ident, self.run_name = run.uid, run.name
        self._draw()
        self.pane.take(run)
        if first:
            self._open_first()

    def _open_first(self) -> None:
        if self._first_stage and isinstance(self.pane, LogPane):
            self.pane.show_stage(self._first_stage)
        self.read_tab()

    def read_tab(self) -> None:
        """Have the tab in sight ask for what it shows."""
        self.begin(self.pane.read, only="tab")

    def begin(self, doing: Callable[[], Awaitable[None]], *, only: str = "") -> None:
        """Carry on with it in the background, as `work`; what an `only` ends may not have begun."""

        async def carry_on() -> None:
            await self._told(doing())

        carried: Callable[[], Any] = carry_on
        self.run_worker(carried, group=only or "work", exclusive=bool(only), exit_on_error=False)

    def _draw(self) -> None:
        self.query_one(RunFacts).refresh()
        self.query_one(RunTabs).refresh()
        self.redraw_bars()

    def _tick(self) -> None:
        super()._tick()
        if self.is_current and self.run is not None and not self.run.state.terminal:
            self.query_one(RunFacts).refresh()

    # --- tabs ------------------------------------------------------------------------------------

    def open_tab(self, tab: str, stage: str | None = None) -> None:
        """Show a tab; a stage is what items and logs are then of."""
        pane = next(one for one in self.panes if one.tab == tab)
        reason = pane.closed(self.run) if self.run is not None else None
        if reason is not None:
            self.desk.say(f"{tab}: {reason}", "warn")
            return
        self._tab = tab
        self._show_tab()
        if stage is not None and isinstance(pane, LogPane | ItemPane):
            pane.show_stage(stage)
        if self.run is not None:
            pane.take(self.run)
            self.read_tab()

    def _show_tab(self) -> None:
        for pane in self.panes:
            pane.display = pane.tab == self._tab
        self.pane.focus_main()
        self._draw()

    def act_next_tab(self) -> None:
        self._step_tab(1)

    def act_previous_tab(self) -> None:
        self._step_tab(-1)

    def _step_tab(self, by: int) -> None:
        """Go to the next tab that has something to see."""
        opened = [
            one for one in self.panes
            if one is self.pane or self.run is None or one.closed(self.run) is None
        ]  # fmt: skip
        at = (opened.index(self.pane) + by) % len(opened)
        self.open_tab(opened[at].tab)

    # --- keys ------------------------------------------------------------------------------------

    def find_method(self, name: str) -> Callable[..., Any] | None:
        """Return what the tab does for a key, else what the screen or the app does."""
        return getattr(self.pane, name, None) or self._own_method(name)

    def _own_method(self, name: str) -> Callable[..., Any] | None:
        if self.pane.table is None and name in _OF_TABLES:
            return None
        return super().find_method(name)

    def why_not(self, key: Key) -> str | None:
        if self.run is None and key.id in _OF_A_RUN:
            return "there is no run"
        return self.pane.why_not(key) or super().why_not(key)

    async def filtered(self, text: str) -> None:
        await self.pane.filtered(text)
        self.redraw_bars()

    def _focus_again(self) -> None:
        self.pane.focus_main()

    def act_logs(self) -> None:
        self.open_tab(LogPane.tab, self.pane.stage)

    def open_logs(self, stage: str, index: int) -> None:
        """Show what one item of a mapped stage said."""
        pane = next(one for one in self.panes if isinstance(one, LogPane))
        pane.show_stage(stage, index)
        self.open_tab(pane.tab)

    def act_copy(self) -> None:
        if self.run is not None:
            self.desk.copy(self.run.uid)

    def act_copy_yaml(self) -> None:
        if self.run is not None:
            self.desk.copy(to_yaml(self.run.model_dump(mode="json", exclude_none=True)))

    def act_parent(self) -> None:
        if self.run is not None and self.run.parent:
            self.desk.open_detail("run", self.run.parent, "show")
        else:
            self.desk.say("it was not made from another run")

    def gone(self, runs: Sequence[Run]) -> None:
        self.desk.everywhere.act_back()

    def on_paged_table_opened(self, event: PagedTable.Opened) -> None:
        self.call_later(self.action_act, "open")


_OF_TABLES = frozenset({"act_mark", "act_mark_all", "act_down", "act_up", "act_page_down",
                        "act_page_up", "act_top", "act_bottom"})  # fmt: skip
_OF_A_RUN = frozenset({"open", "copy", "copy_yaml", "parent", "save", "mark"})
