"""The first tab of a run: its stages in time, and below what is to be said of the one under the cursor."""

from __future__ import annotations

from textual.app import ComposeResult

from flowdapt.domain.run import Run, StageRun, StageState
from flowdapt.domain.wording import coarse, moment, short
from flowdapt.tui.keys import Key
from flowdapt.tui.model.run_facts import preview_words
from flowdapt.tui.model.series import series_of
from flowdapt.tui.model.words import error_line, state_of, took
from flowdapt.tui.screens.run_pane import RunPane
from flowdapt.tui.widgets.gantt import GanttTable
from flowdapt.tui.widgets.prose import Pane, Prose
from flowdapt.tui.widgets.table import PagedTable

__all__ = ["GanttPane", "tell_stage"]

_SPARK, _SPARK_EVERY_S = 8, 3.0


class GanttPane(RunPane):
    """Stages, live."""

    tab = "gantt"

    def compose(self) -> ComposeResult:
        yield GanttTable()
        yield Pane(id="stage")

    def on_mount(self) -> None:
        self.set_interval(_SPARK_EVERY_S, self._look)

    def _look(self) -> None:
        """Read the series of an open run again now and then."""
        run = self.run
        opened = run is not None and not run.state.terminal
        if opened and self.display and self.page.is_current and self.desk.link.usable:
            self.page.read_tab()

    @property
    def rows(self) -> GanttTable:
        return self.query_one(GanttTable)

    @property
    def stage(self) -> str | None:
        current = self.rows.current
        return current.name if current is not None else None

    @property
    def note(self) -> str:
        zoom = self.rows.chart.zoom.factor if self.is_mounted else 1
        return f"{zoom:g} times larger" if zoom > 1 else ""

    def take(self, run: Run) -> None:
        self.rows.take(run)
        self._tell()

    async def read(self) -> None:
        """Ask for the series that stages recorded: the last of each stage goes beside its bar."""
        if self.run is not None:
            found = series_of(await self.client.runs.metrics(self.run.uid))
            self.rows.take_sparks(
                {one.stage: one.spark(_SPARK) for one in found if len(one.values) > 1}
            )

    def on_paged_table_moved(self, event: PagedTable.Moved) -> None:
        event.stop()
        self._tell()

    def _tell(self) -> None:
        stage = self.rows.current
        pane = self.query_one(Pane)
        pane.display = stage is not None
        if stage is not None:
            left = self.rows.chart.paces.left_s(stage, self.desk.now())
            pane.show(tell_stage(Prose(self.desk), stage, left))

    def why_not(self, key: Key) -> str | None:
        if key.id in {"open", "mark"} and self.rows.current is None:
            return "there is no stage"
        return None

    def act_open(self) -> None:
        """Look into a stage: its items, its error, or what it said."""
        stage = self.rows.current
        if stage is None:
            return
        if stage.items is not None:
            self.page.open_tab("items", stage.name)
        elif stage.state is StageState.FAILED:
            self.page.open_tab("error")
        else:
            self.page.open_tab("logs", stage.name)

    def act_zoom_in(self) -> None:
        self._zoom(2.0)

    def act_zoom_out(self) -> None:
        self._zoom(0.5)

    def _zoom(self, times: float) -> None:
        self.rows.zoom_by(times)
        self.page.redraw_bars()

    def act_left(self) -> None:
        self.rows.pan(-0.5)

    def act_right(self) -> None:
        self.rows.pan(0.5)

    def exported(self) -> tuple[str, str] | None:
        return "csv", self.rows.as_csv()


def tell_stage(prose: Prose, stage: StageRun, left_s: float | None) -> Prose:
    """Say of one stage what its bar does not."""
    app = prose.desk
    word = state_of(stage)
    lasted = took(stage, app.now())
    ends = "" if left_s is None else f"   about {coarse(left_s)} left"
    prose.parts(
        (f"{app.glyphs.state(word)} {word}", f"state-{word}"), (f"  {stage.name}", "head"),
        (f"   {lasted}{ends}", "dim"),
        ("   taken over from the run before" if stage.inherited else "", "dim"),
    )  # fmt: skip
    if stage.error is not None or stage.reason:
        prose.pair("why", short(error_line(stage), 400), "bad" if stage.error is not None else "")
    if stage.attempt > 1 or stage.losses:
        lost = f", lost {stage.losses} times with its worker" if stage.losses else ""
        prose.pair("attempt", f"{stage.attempt}{lost}")
    if stage.next_at is not None and stage.state is StageState.RETRYING:
        prose.pair("again in", coarse((stage.next_at - app.now()).total_seconds()))
    if stage.items is not None:
        items = stage.items
        total = "?" if items.total is None else f"{items.total:,}"
        prose.pair("items", f"{total} in all: {items.finished:,} finished, {items.failed:,} failed, {items.running:,} running")  # fmt: skip
    if stage.started_at is not None:
        prose.pair("began", moment(stage.started_at.isoformat()))
    if stage.result_preview is not None:
        prose.pair("result", preview_words(stage.result_preview))
    return prose
