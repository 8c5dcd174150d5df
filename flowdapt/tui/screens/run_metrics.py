"""The tab with the series that stages recorded: a list of them, and the chosen ones as a plot."""

from __future__ import annotations

from typing import Any

from textual.app import ComposeResult

from flowdapt.domain.run import Run
from flowdapt.tui.model.series import Series, number, series_of
from flowdapt.tui.screens.run_pane import RunPane
from flowdapt.tui.widgets.plot import PlotView
from flowdapt.tui.widgets.table import Cell, Column, PagedTable

__all__ = ["MetricPane"]

_EVERY_S = 2.0
_SPARK = 10
_NONE = "no stage recorded a series: get_run_context().metric(name, value, step)"


def _last(one: Series) -> str:
    return number(one.values[-1]) if one.values else "none"


_COLUMNS: tuple[Column[Series], ...] = (
    Column("series", lambda one, _: Cell(one.key), least=12, must=True),
    Column("last", lambda one, _: Cell(_last(one)), right=True, must=True),
    Column("", lambda one, app: Cell(app.glyphs.spark(one.spark(_SPARK)), "busy"), width=_SPARK),
    Column("points", lambda one, _: Cell(f"{len(one.points):,}", "dim"), right=True, spare=True),
    Column("least", lambda one, _: Cell(number(min(one.values)) if one.values else "", "dim"), right=True, spare=True),
    Column("most", lambda one, _: Cell(number(max(one.values)) if one.values else "", "dim"), right=True, spare=True),
)  # fmt: skip


class MetricPane(RunPane):
    """Series and their plot; space chooses several."""

    tab = "metrics"

    def __init__(self) -> None:
        super().__init__()
        self._series: list[Series] = []

    def compose(self) -> ComposeResult:
        yield PagedTable[Series](_COLUMNS, lambda one: one.key, empty="", id="series")
        yield PlotView()

    def on_mount(self) -> None:
        self.set_interval(_EVERY_S, self._look)

    @property
    def rows(self) -> PagedTable[Series]:
        return self.query_one("#series", PagedTable)

    @property
    def stage(self) -> str | None:
        current = self.rows.current
        return current.stage if current is not None else None

    def _look(self) -> None:
        run = self.run
        opened = run is not None and not run.state.terminal
        if opened and self.display and self.page.is_current and self.desk.link.usable:
            self.page.read_tab()

    def take(self, run: Run) -> None:
        """Draw what is known; series are read by themselves."""
        self._draw()

    async def read(self) -> None:
        if self.run is not None:
            self._series = series_of(await self.client.runs.metrics(self.run.uid))
            self.rows.empty = _NONE
            self.rows.show(self._series)
            self._draw()

    def on_paged_table_moved(self, event: PagedTable.Moved) -> None:
        event.stop()
        self._draw()

    def act_mark(self) -> None:
        """Choose a series, or let go of it, and go on."""
        self.rows.toggle_mark()
        self._draw()

    def _draw(self) -> None:
        rows = self.rows
        rows.styles.height = min(max(len(self._series), 1), 6) + 1
        self.query_one(PlotView).show(rows.chosen, "no number to draw" if self._series else "")

    def exported(self) -> tuple[str, str] | None:
        lines = ["series,step,value"]
        lines += [f"{one.key},{x:g},{y!r}" for one in self.rows.chosen for x, y in one.points]
        return "csv", "\n".join(lines) + "\n"

    def act_copy(self) -> None:
        made: Any = self.exported()
        self.desk.copy(made[1])
