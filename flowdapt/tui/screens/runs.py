"""The list of runs: pages and filters on the server, live in place, with a preview where there is room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.timer import Timer

from flowdapt.client.endpoints import runs as calls
from flowdapt.domain.errors import NotFound
from flowdapt.domain.run import Run
from flowdapt.domain.yaml_writing import to_yaml
from flowdapt.tui.keys import Key
from flowdapt.tui.model.news import ALL, RUNS, News
from flowdapt.tui.model.query import parse_filter
from flowdapt.tui.model.runs import PAGE, RunWindow
from flowdapt.tui.model.words import age, error_line, state_of, took
from flowdapt.tui.screens.actions.runs import RunActions
from flowdapt.tui.screens.run_preview import RunPreview
from flowdapt.tui.screens.view import LIST_KEYS
from flowdapt.tui.widgets.table import Cell, Column, PagedTable

__all__ = ["RUN_COLUMNS", "Runs"]

_SORTS = ("-created", "created", "-started", "-finished", "-duration", "duration")
_AFTER_S = 0.04
_REST_S = 0.15
_FRESH = 50
_UNSURE = 100


def _state(run: Run, app: Any) -> Cell:
    word = state_of(run)
    return Cell(f"{app.glyphs.state(word)} {word}", f"state-{word}")


RUN_COLUMNS: tuple[Column[Run], ...] = (
    Column("state", _state, width=12, must=True),
    Column("name", lambda run, _: Cell(run.name), least=20, must=True),
    Column("workflow", lambda run, _: Cell(run.workflow), least=10, must=True),
    Column("age", lambda run, app: Cell(age(run.created_at, app.now()), "dim"), right=True, sort="created"),
    Column("took", lambda run, app: Cell(took(run, app.now())), width=6, right=True, sort="duration"),
    Column("reason", lambda run, _: Cell(error_line(run), "dim"), flex=True),
    Column("source", lambda run, _: Cell(run.source, "dim"), spare=True),
    Column("executor", lambda run, _: Cell(run.executor, "dim"), spare=True),
)  # fmt: skip


class Runs(RunActions):
    """The view on key 3."""

    KEYS = (*LIST_KEYS, "logs", "why", "retry", "cancel", "delete", "describe")
    view, title_words = "runs", "runs"

    def __init__(self) -> None:
        super().__init__()
        self.window = RunWindow()
        self._rest: Timer | None = None

    def body(self) -> ComposeResult:
        with Horizontal():
            yield PagedTable[Run](RUN_COLUMNS, lambda run: run.uid, empty="", id="runs")
            yield RunPreview(id="preview")

    @property
    def runs(self) -> PagedTable[Run]:
        return self.query_one("#runs", PagedTable)

    @property
    def heading(self) -> str:
        query = self.window.query
        order = "" if query.newest_first else f"by {query.sort.lstrip('-')}"
        marked = f"{len(self.runs.marks)} marked" if self.runs.marks else ""
        return "   ".join(one for one in (query.text, order, marked) if one)

    def why_not(self, key: Key) -> str | None:
        of_a_run = {"open", "logs", "describe", "copy", "copy_yaml"}
        if key.id in of_a_run and self.runs.current is None:
            return "there is no run"
        return super().why_not(key)

    def chosen_runs(self) -> list[Run]:
        return self.runs.chosen

    def whole_query(self) -> dict[str, Any] | None:
        more = self.window.next_cursor is not None or self.window.previous_cursor is not None
        everything = len(self.runs.marks) == len(self.runs.rows) > 0
        return dict(self.window.query.parameters) if more and everything else None

    def gone(self, runs: Sequence[Run]) -> None:
        self.act_refresh()

    async def on_news(self, news: News) -> None:
        if ALL in news.parts:
            self.work(self._read_again(), only="head")
        elif news.touches(RUNS):
            changed, again = self.window.apply(news.events)
            found = [self.window.find(uid) for uid in changed]
            for run in found:
                if run is not None:
                    self.runs.change(run)
            if None in found:
                self._show()
            if again:
                self.soon(self._read_head)

    async def _read_again(self) -> None:
        """Read the first page, and one by one the open runs behind it: their ends may be unheard of."""
        await self._read_first(PAGE)
        fresh = {run.uid for run in self.window.rows[:PAGE]}
        unsure = [
            run.uid for run in self.window.rows if not run.state.terminal and run.uid not in fresh
        ]
        for uid in unsure[:_UNSURE]:
            try:
                run = await self.client.runs.get(uid)
            except NotFound:
                self.window.remove(uid)
            else:
                self.window.replace(run.model_copy(update={"stages": []}))
        if unsure:
            self._show()

    async def _read_first(self, count: int = _FRESH) -> None:
        """Read the top of the list, as far down as what is known already."""
        asked = self.window.query
        first = PAGE if not self.window.loaded or not asked.newest_first else count
        page = await self.client.ask(calls.list_(**asked.parameters, limit=first))
        runs, cursor = list(page.items), page.next
        while cursor is not None and not self.window.meets(runs):
            page = await self.client.ask(calls.list_(**asked.parameters, cursor=cursor, limit=PAGE))
            runs, cursor = runs + list(page.items), page.next
        if asked is self.window.query:
            self.window.add_first(runs, cursor)
            self._show()

    def _read_head(self) -> None:
        self.work(self._read_first(), only="head")

    def _show(self) -> None:
        table = self.runs
        table.empty = (
            "no run fits the filter"
            if self.window.query.text
            else "no run yet: press r on a workflow"
        )
        table.show(self.window.rows)
        self._preview()

    async def filtered(self, text: str) -> None:
        query = parse_filter(text, now=self.desk.now(), sort=self.window.query.sort)
        self.window.reset(query)
        await self._read_first()
        self.redraw_bars()

    def act_filter(self, *words: str) -> None:
        if words:
            self.work(self.filtered(" ".join(words)), only="filter")
        else:
            self.prompt.call("/", self.window.query.text)

    def act_refresh(self) -> None:
        self.work(self._read_first(), only="head")

    async def on_paged_table_near_end(self, event: PagedTable.NearEnd) -> None:
        if event.below and self.window.next_cursor is not None:
            self.work(self._read_below(), only="more")
        elif not event.below and self.window.previous_cursor is not None:
            self.work(self._read_above(), only="more")

    async def _read_above(self) -> None:
        place, asked = self.window.previous_cursor, self.window.query
        if place is not None:
            page = await self.client.ask(
                calls.list_(**asked.parameters, cursor=place[0], limit=PAGE)
            )
            if asked is self.window.query and place == self.window.previous_cursor:
                self.window.add_above(page.items, page.next)
                self._show()

    async def _read_below(self) -> None:
        cursor, asked = self.window.next_cursor, self.window.query
        page = await self.client.ask(calls.list_(**asked.parameters, cursor=cursor, limit=PAGE))
        if asked is self.window.query and cursor == self.window.next_cursor:
            self.window.add_below(page.items, page.next)
            self._show()

    def on_paged_table_moved(self) -> None:
        self._preview()

    def on_paged_table_opened(self, event: PagedTable.Opened) -> None:
        self.call_later(self.action_act, "open")

    def _preview(self) -> None:
        """Show the run under the cursor, after the cursor itself; read the rest of it once it rests."""
        if self._rest is not None:
            self._rest.stop()
        pane = self.query_one(RunPreview)
        if pane.display:
            self._rest = self.set_timer(_AFTER_S, self._draw_preview)

    def _draw_preview(self) -> None:
        self.query_one(RunPreview).show(self.runs.current)
        if self.runs.current is not None:
            self._rest = self.set_timer(_REST_S, self._read_whole)

    def _read_whole(self) -> None:
        if self.desk.link.usable:
            self.work(self._whole(), only="whole")

    async def _whole(self) -> None:
        run = self.runs.current
        if run is not None:
            try:
                whole = await self.client.runs.get(run.uid)
            except NotFound:
                # It was deleted meanwhile: its row goes with the next news.
                return
            if self.runs.current_key == whole.uid:
                self.query_one(RunPreview).show(whole)

    def act_sort(self) -> None:
        """Sort by the next order that the server knows."""
        place = (_SORTS.index(self.window.query.sort) + 1) % len(_SORTS)
        self.window.reset(self.window.query.sorted_by(_SORTS[place]))
        self._show_order()
        self.work(self._read_first(), only="head")

    def _show_order(self) -> None:
        sort = self.window.query.sort
        self.runs.sorted_by = (sort.lstrip("-"), sort.startswith("-"))
        self.redraw_bars()

    def act_open(self) -> None:
        self._to_detail("show")

    def act_logs(self) -> None:
        self._to_detail("logs")

    def _to_detail(self, tab: str) -> None:
        run = self.runs.current
        if run is not None:
            self.desk.open_detail("run", run.uid, tab)

    def act_describe(self) -> None:
        self._to_detail("show")

    def act_back(self) -> None:
        """Let go of the filter first."""
        if self.window.query.text:
            self.work(self.filtered(""), only="filter")
        else:
            self.desk.everywhere.act_back()

    async def act_copy_yaml(self) -> None:
        run = self.runs.current
        if run is not None:
            whole = await self.client.runs.get(run.uid)
            self.desk.copy(to_yaml(whole.model_dump(mode="json", exclude_none=True)))

    def act_copy(self) -> None:
        self.desk.copy("\n".join(run.uid for run in self.runs.chosen))
