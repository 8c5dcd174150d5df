"""The tab with the items of a mapped stage: pages from the server, by state, with the error of each."""

from __future__ import annotations

from typing import Any

from textual.app import ComposeResult

from flowdapt.client.endpoints import runs as calls
from flowdapt.domain.run import Item, Run
from flowdapt.domain.wording import amount
from flowdapt.tui.keys import Key
from flowdapt.tui.model.words import age, took_between
from flowdapt.tui.screens.run_data import tell_error
from flowdapt.tui.screens.run_pane import RunPane
from flowdapt.tui.widgets.choose import Choose
from flowdapt.tui.widgets.prose import Pane, Prose
from flowdapt.tui.widgets.table import Cell, Column, PagedTable

__all__ = ["ItemPane"]

_PAGE, _MOST = 500, 2000
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
        self._stage: str | None = None
        self._state: str | None = None
        self._items: list[Item] = []
        self._next: str | None = None
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
        return self._stage

    @property
    def note(self) -> str:
        state = self._state or "all"
        more = " and more" if self._next is not None else ""
        return (
            f"{self._stage}   {state}: {amount(len(self._items), 'item')}{more}"
            if self._stage
            else ""
        )

    def closed(self, run: Run) -> str | None:
        return None if _mapped(run) else "no stage of this run is mapped over items"

    def show_stage(self, stage: str) -> None:
        if self.run is not None and stage in _mapped(self.run) and stage != self._stage:
            self._stage, self._items, self._next, self._known = stage, [], None, ()

    def take(self, run: Run) -> None:
        mapped = _mapped(run)
        if self._stage is None and mapped:
            self._stage = mapped[0]
        if self._known and self._known != self._now(run):
            self.page.read_tab()

    def _now(self, run: Run) -> tuple[Any, ...]:
        """Return what changes when there is something else to read."""
        found = next((one for one in run.stages if one.name == self._stage), None)
        return (self._stage, self._state, found.items if found is not None else None)

    async def read(self) -> None:
        """Read what is held again from the start, as many pages as there were."""
        run, stage = self.run, self._stage
        if run is None or stage is None:
            return
        self._known = self._now(run)
        wanted = max(len(self._items), _PAGE)
        found: list[Item] = []
        cursor: str | None = None
        while len(found) < wanted:
            page = await self._page(run, stage, cursor)
            found += page.items
            cursor = page.next
            if cursor is None:
                break
        if stage == self._stage:
            self._items, self._next = found, cursor
            self._show()

    async def _page(self, run: Run, stage: str, cursor: str | None) -> Any:
        call = calls.items(run.uid, stage, state=self._state, cursor=cursor, limit=_PAGE)
        return await self.client.ask(call)

    def _show(self) -> None:
        table = self.items
        table.empty = f"no {self._state} item" if self._state else "no item yet"
        table.show(self._items)
        self._tell()
        self.page.redraw_bars()

    def on_paged_table_near_end(self, event: PagedTable.NearEnd) -> None:
        event.stop()
        if event.below and self._next is not None and len(self._items) < _MOST:
            self.page.begin(self._more, only="more")

    async def _more(self) -> None:
        run, stage, cursor = self.run, self._stage, self._next
        if run is None or stage is None:
            return
        page = await self._page(run, stage, cursor)
        if (stage, cursor) == (self._stage, self._next):
            self._items, self._next = [*self._items, *page.items], page.next
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
        choices += [(f"stage {name}", "its items") for name in mapped if name != self._stage]
        chosen = await self.desk.ask(Choose("Which items?", choices))
        if chosen is None:
            return
        if chosen.startswith("stage "):
            self.show_stage(chosen.removeprefix("stage "))
        else:
            self._state = None if chosen == "all" else chosen
        self._items = []
        await self.read()

    def act_open(self) -> None:
        """Show what the item said."""
        item = self.items.current
        if item is not None and self._stage is not None:
            self.page.open_logs(self._stage, item.index)

    def exported(self) -> tuple[str, str] | None:
        return "csv", self.items.as_csv()


def _mapped(run: Run) -> list[str]:
    return [
        stage.name
        for stage in run.stages
        if stage.items is not None or stage.type == "parameterized"
    ]
