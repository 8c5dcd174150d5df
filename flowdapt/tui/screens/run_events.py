"""The tab with what happened to a run, in the words of the journal, the newest last."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from textual.app import ComposeResult

from flowdapt.client.endpoints import system
from flowdapt.domain.run import Run
from flowdapt.domain.wording import parsed
from flowdapt.tui.model.events import about, kind_of
from flowdapt.tui.screens.run_pane import RunPane
from flowdapt.tui.widgets.prose import Pane, Prose
from flowdapt.tui.widgets.table import Cell, Column, PagedTable

__all__ = ["EventPane"]

Event = Mapping[str, Any]
_PAGE, _MOST = 500, 2000


def _clock(event: Event) -> Cell:
    found = parsed(event.get("time"))
    return Cell("" if found is None else found.strftime("%H:%M:%S.%f")[:-3], "dim")


def _kind(event: Event) -> Cell:
    kind = kind_of(event).removeprefix("workflow.")
    data = event.get("data")
    state = str(data.get("state", "")) if isinstance(data, Mapping) else ""
    return Cell(kind, f"state-{state}" if state else "")


_COLUMNS: tuple[Column[Event], ...] = (
    Column("time", lambda one, _: _clock(one), width=12, must=True),
    Column("event", lambda one, _: _kind(one), least=12, must=True),
    Column("about", lambda one, _: Cell(about(one)), flex=True),
)


class EventPane(RunPane):
    """Events of the run."""

    tab = "events"

    def __init__(self) -> None:
        super().__init__()
        self._events: list[Event] = []
        self._state = ""

    def compose(self) -> ComposeResult:
        yield PagedTable[Event](
            _COLUMNS, lambda one: str(one["cursor"]), empty="", id="run-journal"
        )
        yield Pane(id="event")

    @property
    def rows(self) -> PagedTable[Event]:
        return self.query_one("#run-journal", PagedTable)

    def take(self, run: Run) -> None:
        """Read what is new; a state or a stage that changed is told by an event."""
        now = f"{run.state} {[stage.state for stage in run.stages]}"
        if self._state and now != self._state:
            self.page.read_tab()
        self._state = now

    async def read(self) -> None:
        run = self.run
        if run is None:
            return
        while len(self._events) < _MOST:
            after = int(self._events[-1]["cursor"]) if self._events else 0
            found = await self.client.ask(system.events(run=run.uid, after=after, limit=_PAGE))
            self._events += found.get("items") or ()
            if len(found.get("items") or ()) < _PAGE:
                break
        self.rows.empty = "nothing happened that is still known"
        self.rows.show(self._events)
        self._tell()

    def on_paged_table_moved(self, event: PagedTable.Moved) -> None:
        event.stop()
        self._tell()

    def _tell(self) -> None:
        found, pane = self.rows.current, self.query_one(Pane)
        pane.display = found is not None
        if found is not None:
            text = json.dumps(found.get("data"), indent=2, ensure_ascii=False, default=str)
            pane.show(Prose(self.desk).pair("time", found.get("time")).pair("type", found.get("type")).text(text))  # fmt: skip

    def act_copy(self) -> None:
        found = self.rows.current
        if found is not None:
            self.desk.copy(json.dumps(found, indent=2, ensure_ascii=False, default=str))

    def exported(self) -> tuple[str, str] | None:
        return "csv", self.rows.as_csv()
