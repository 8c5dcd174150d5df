"""The tab that holds a run against the one it was retried from: stage by stage, state and time."""

from __future__ import annotations

from typing import Any

from textual.app import ComposeResult

from flowdapt.domain.run import Run, StageRun
from flowdapt.domain.wording import duration, short
from flowdapt.tui.model.run_facts import Compared, compared
from flowdapt.tui.model.words import error_line, state_of
from flowdapt.tui.screens.run_pane import RunPane
from flowdapt.tui.widgets.prose import Pane, Prose
from flowdapt.tui.widgets.table import Cell, Column, PagedTable

__all__ = ["ParentPane"]

_AS_BEFORE_S = 0.001


def _state(stage: StageRun | None, app: Any) -> Cell:
    if stage is None:
        return Cell("not there", "dim")
    word = state_of(stage)
    kept = " kept" if stage.inherited else ""
    return Cell(f"{app.glyphs.state(word)} {word}{kept}", f"state-{word}")


def _took(stage: StageRun | None) -> Cell:
    return Cell("" if stage is None or stage.inherited else duration(stage.duration_s))


def _slower(one: Compared) -> Cell:
    slower = one.slower_s
    if slower is None or abs(slower) < _AS_BEFORE_S:
        return Cell("" if slower is None else "as before", "dim")
    sign = "+" if slower > 0 else "\N{MINUS SIGN}"
    return Cell(f"{sign}{duration(abs(slower))}", "warn" if slower > 0 else "good")


_COLUMNS: tuple[Column[Compared], ...] = (
    Column("stage", lambda one, _: Cell(one.name), width=12, least=10, must=True),
    Column("before", lambda one, app: _state(one.before, app), width=12, must=True),
    Column("took", lambda one, _: _took(one.before), width=7, right=True),
    Column("now", lambda one, app: _state(one.here, app), width=12, must=True),
    Column("took", lambda one, _: _took(one.here), width=7, right=True),
    Column("change", lambda one, _: _slower(one), width=9, right=True),
    Column("", lambda one, _: Cell("" if one.here is None else error_line(one.here), "bad"), flex=True),
)  # fmt: skip


class ParentPane(RunPane):
    """This run and the one before."""

    tab = "parent"

    def __init__(self) -> None:
        super().__init__()
        self._before: Run | None = None

    def compose(self) -> ComposeResult:
        yield PagedTable[Compared](_COLUMNS, lambda one: one.name, empty="", id="compared")
        yield Pane(id="before")

    @property
    def rows(self) -> PagedTable[Compared]:
        return self.query_one("#compared", PagedTable)

    @property
    def stage(self) -> str | None:
        current = self.rows.current
        return current.name if current is not None else None

    def closed(self, run: Run) -> str | None:
        return None if run.parent else "it was not made from another run"

    async def read(self) -> None:
        run = self.run
        if run is not None and run.parent and self._before is None:
            self._before = await self.client.runs.get(run.parent)
            self.take(run)

    def take(self, run: Run) -> None:
        if self._before is not None:
            self.rows.show(compared(run, self._before))
            self._tell()

    def on_paged_table_moved(self, event: PagedTable.Moved) -> None:
        event.stop()
        self._tell()

    def _tell(self) -> None:
        parent, row, run = self._before, self.rows.current, self.run
        if parent is None or run is None:
            return
        prose = Prose(self.desk).pair(
            "before", f"{parent.name}  {state_of(parent)}  r{parent.revision}"
        )
        prose.pair("input", "as before" if parent.input == run.input else short(run.input, 300))
        if parent.input != run.input:
            prose.pair("was", short(parent.input, 300))
        if row is not None and row.before is not None and error_line(row.before):
            prose.pair("failed by", short(error_line(row.before), 400), "bad")
        self.query_one(Pane).show(prose)

    def act_open(self) -> None:
        """Open the run before."""
        self.page.act_parent()

    def exported(self) -> tuple[str, str] | None:
        return "csv", self.rows.as_csv()
