"""The tab with the items of a mapped stage: pages from the server, by state, with the error of each."""

from __future__ import annotations

from typing import Any

from textual.app import ComposeResult

from flowdapt.client.endpoints import runs as calls
from flowdapt.domain.run import Item, Run
from flowdapt.domain.wording import amount
from flowdapt.tui.keys import Key
from flowdapt.tui.model.run_items import ITEM_PAGE, ItemWindow
from flowdapt.tui.model.words import age, took_between
from flowdapt.tui.screens.run_data import tell_error
from flowdapt.tui.screens.run_pane import RunPane
from flowdapt.tui.widgets.choose import Choose
from flowdapt.tui.widgets.prose import Pane, Prose
from flowdapt.tui.widgets.table import Cell, Column, PagedTable

__all__ = ["ItemPane"]

_STATES = ("all", "failed", "retrying", "pending", "finished")


def _state(item: Item, app: Any) -> Cell:
    return Cell(f"{app.glyphs.state(item.state)} {item.state}", f"state-{item.state}")


def _error(item: Item) -> str:
    error = item.error
    return "" if error is None else f"{error.type.rpartition('.')[2]}: {error.message}"


_COLUMNS: tuple[Column[Item], ...] = (
    Column("item", lambda one, _: Cell(f"{one.index:,}"), width=6, right=True, must=True),
    Column("state", _state, width=11, must=True),
    Column("try", lambda one, _: Cell(str(one.attempt), "dim"), right=True),
    Column("took", lambda one, app: Cell(took_between(one.started_at, one.finished_at, app.now())), right=True, width=6),
    Column("ended", lambda one, app: Cell(age(one.finished_at, app.now()), "dim"), right=True, spare=True),
    Column("error", lambda one, _: Cell(_error(one), "bad"), flex=True),
)  # fmt: skip


class ItemPane(RunPane):
    """Items of one stage, in the order of their indexes."""

    tab = "items"

    def __init__(self) -> None:
        super().__init__()
        self.window = ItemWindow()
        # What was read for: stage, state, and how far the stage was then.
        self._known: tuple[Any, ...] = ()

    def compose(self) -> ComposeResult:
        yield PagedTable[Item](_COLUMNS, lambda item: str(item.index), empty="", id="items")
        yield Pane(id="item")

    @property
    def items(self) -> PagedTable[Item]:
        return self.query_one("#items", PagedTable)

    @property
    def stage(self) -> str | None:
        return self.window.stage

    @property
    def note(self) -> str:
        window = self.window
        if window.stage is None:
            return ""
        more = " and more" if window.below is not None or window.above is not None else ""
        return f"{window.stage}   {window.state or 'all'}: {amount(len(window.rows), 'item')}{more}"

    def closed(self, run: Run) -> str | None:
        return None if _mapped(run) else "no stage of this run is mapped over items"

    def show_stage(self, stage: str) -> None:
        if self.run is not None and stage in _mapped(self.run) and stage != self.window.stage:
            self.window.reset(stage, self.window.state)
            self._known = ()

    def take(self, run: Run) -> None:
        mapped = _mapped(run)
        if self.window.stage is None and mapped:
            self.window.reset(mapped[0], None)
        if self._known and self._known != self._now(run):
            self.page.read_tab()

    def _now(self, run: Run) -> tuple[Any, ...]:
        """Return what changes when there is something else to read."""
        window = self.window
        found = next((one for one in run.stages if one.name == window.stage), None)
        return (window.stage, window.state, found.items if found is not None else None)

    async def read(self) -> None:
        """Read the pages that are held anew."""
        run, window = self.run, self.window
        if run is None or window.stage is None:
            return
        self._known = now = self._now(run)
        cursor, pages = window.first, []
        for _ in range(window.count):
            page = await self._page(run, cursor)
            pages.append((cursor, page.items, page.next))
            cursor = page.next
            if cursor is None:
                break
        if now[:2] == (window.stage, window.state):
            window.take(pages)
            self._show()

    async def _page(self, run: Run, cursor: str | None) -> Any:
        window = self.window
        call = calls.items(run.uid, window.stage or "", state=window.state, cursor=cursor, limit=ITEM_PAGE)  # fmt: skip
        return await self.client.ask(call)

    def _show(self) -> None:
        table, state = self.items, self.window.state
        table.empty = f"no {state} item" if state else "no item yet"
        table.show(self.window.rows)
        self._tell()
        self.page.redraw_bars()

    def on_paged_table_near_end(self, event: PagedTable.NearEnd) -> None:
        event.stop()
        if event.below and self.window.below is not None:
            self.page.begin(self._read_below, only="more")
        elif not event.below and self.window.above is not None:
            self.page.begin(self._read_above, only="more")

    async def _read_below(self) -> None:
        run, cursor = self.run, self.window.below
        if run is not None and cursor is not None:
            page = await self._page(run, cursor)
            if cursor == self.window.below:
                self.window.add_below(page.items, page.next)
                self._show()

    async def _read_above(self) -> None:
        run, place = self.run, self.window.above
        if run is not None and place is not None:
            page = await self._page(run, place[0])
            if place == self.window.above:
                self.window.add_above(page.items, page.next)
                self._show()

    def on_paged_table_moved(self, event: PagedTable.Moved) -> None:
        event.stop()
        self._tell()

    def _tell(self) -> None:
        item, pane = self.items.current, self.query_one(Pane)
        pane.display = item is not None and item.error is not None
        if item is not None and item.error is not None:
            pane.show(tell_error(Prose(self.desk), item.error, whole=False))

    # --- keys ------------------------------------------------------------------------------------

    def why_not(self, key: Key) -> str | None:
        if key.id in {"open", "mark"} and self.items.current is None:
            return "there is no item"
        return None

    async def act_narrow(self) -> None:
        """Choose another state, or another mapped stage."""
        mapped = _mapped(self.run) if self.run is not None else []
        choices = [
            (state, "items in this state" if state != "all" else "every item") for state in _STATES
        ]
        choices += [(f"stage {name}", "its items") for name in mapped if name != self.window.stage]
        chosen = await self.desk.ask(Choose("Which items?", choices))
        if chosen is None:
            return
        if chosen.startswith("stage "):
            self.show_stage(chosen.removeprefix("stage "))
        else:
            self.window.reset(self.window.stage, None if chosen == "all" else chosen)
        await self.read()

    def act_open(self) -> None:
        """Show what the item said."""
        item = self.items.current
        if item is not None and self.window.stage is not None:
            self.page.open_logs(self.window.stage, item.index)

    def exported(self) -> tuple[str, str] | None:
        return "csv", self.items.as_csv()


def _mapped(run: Run) -> list[str]:
    return [
        stage.name
        for stage in run.stages
        if stage.items is not None or stage.type == "parameterized"
    ]
