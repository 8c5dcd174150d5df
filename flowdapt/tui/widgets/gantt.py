"""A list of stages as a Gantt chart: a bar a line on one axis of time; cursor and scroll are the table's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from flowdapt.domain.run import Run, StageRun
from flowdapt.domain.wording import coarse
from flowdapt.tui.model.gantt import Paces, Timeline, Zoom, bar_of, words_of
from flowdapt.tui.model.words import ASCII, state_of, took
from flowdapt.tui.widgets.columns import Cell, Column
from flowdapt.tui.widgets.painting import Look, Painter
from flowdapt.tui.widgets.safe import fitted
from flowdapt.tui.widgets.table import PagedTable

if TYPE_CHECKING:
    from flowdapt.tui.app import FlowdaptApp

__all__ = ["GanttTable", "folded_signs"]

_COLUMNS: tuple[Column[StageRun], ...] = (
    Column("stage", lambda one, _: Cell(one.name), must=True),
    Column("state", lambda one, _: Cell(state_of(one))),
    Column("far", lambda one, app: Cell(words_of(one, glyphs=folded_signs(app.glyphs is ASCII)))),
    Column("started", lambda one, _: Cell("" if one.started_at is None else one.started_at.isoformat())),
    Column("took", lambda one, app: Cell(took(one, app.now()))),
)  # fmt: skip
_NAME_MOST, _TOOK, _BAR_LEAST = 32, 7, 8
# Edge, glyph, the spaces between the parts, and what it took.
_FIXED = 2 + 2 + 1 + 1 + 1 + _TOOK


def folded_signs(ascii_only: bool) -> tuple[str, str, str]:
    return ("x", "+", "x") if ascii_only else ("\N{MULTIPLICATION SIGN}", "✔", "✖")


class GanttTable(PagedTable[StageRun]):
    """The stages of a run in time. `take` gives it a run; `sparks` are series to show beside a stage."""

    def __init__(self) -> None:
        super().__init__(_COLUMNS, lambda stage: stage.name, empty="no stages yet", id="gantt")
        self._painter = self.chart = GanttPainter()

    def take(self, run: Run) -> None:
        """Draw a run as it is now."""
        self.chart.run = run
        self.chart.paces.note(run, self.desk.now())
        self.show(run.stages)

    def take_sparks(self, sparks: dict[str, list[float]]) -> None:
        """Show series beside their stages."""
        self.chart.take_sparks(sparks)
        self.refresh()

    def zoom_by(self, times: float) -> None:
        self.chart.zoom = self.chart.zoom.by(times)
        self.refresh()

    def pan(self, screens: float) -> None:
        self.chart.zoom = self.chart.zoom.moved(screens)
        self.refresh()

    def tick(self) -> None:
        """Draw all of it while the run is open: the axis itself grows."""
        if self.chart.run is not None and not self.chart.run.state.terminal:
            self.refresh()


class GanttPainter(Painter[StageRun]):
    """Draws the lines of the chart: axis, names, bars, words."""

    def __init__(self) -> None:
        super().__init__(_COLUMNS)
        self.run: Run | None = None
        self.zoom = Zoom()
        self.paces = Paces()
        self.sparks: dict[str, list[float]] = {}
        self._line: Timeline | None = None
        self._room = (0, 0, 0)
        self._measured_run: Run | None = None
        self._measured_width = 0

    def take_sparks(self, sparks: dict[str, list[float]]) -> None:
        self.sparks, self._measured_run = sparks, None

    def head(self, width: int, app: FlowdaptApp, sorted_by: tuple[str, bool] | None) -> Strip:
        """Draw the axis, and measure for the lines below it."""
        style = self._base + Style.parse(f"bold {app.colour('head')}")
        if self.run is None:
            return self.blank("", width, app)
        self._line = Timeline.of(self.run, app.now())
        name, bar, far = self._fitted(self.run, width, app)
        axis = [" "] * bar
        for column, text in self._line.scale(bar, self.zoom).ticks() if bar else ():
            end = column + len(text)
            if end <= bar and not "".join(axis[max(column - 1, 0) : end]).strip():
                axis[column:end] = text
        text = f"    {fitted('STAGE', name)} {''.join(axis)} {' ' * far} {'TOOK':>{_TOOK}}"
        return Strip([Segment(text, style)]).adjust_cell_length(width, style)

    def row(self, key: str, row: StageRun, look: Look, width: int, app: FlowdaptApp) -> Strip:
        base = self._base + (app.cursor_style(look.focused) if look.here else Style())
        name, bar, far = self._room
        word = state_of(row)
        dim = base if look.here else base + app.style_of("dim")
        coloured = base if look.here else base + app.style_of(f"state-{word}")
        segments = [
            self._edge(look, base, app),
            Segment(f"{app.glyphs.state(word)} ", coloured),
            Segment(f"{fitted(row.name, name, more=app.glyphs.more)} ", base),
            *self._bar(row, bar, coloured, dim, app),
            Segment(f" {fitted(self._far(row, app), far, more=app.glyphs.more)} ", dim),
            Segment(f"{took(row, app.now()):>{_TOOK}}", base),
        ]
        return Strip(segments).adjust_cell_length(width, base)

    def _fitted(self, run: Run, width: int, app: FlowdaptApp) -> tuple[int, int, int]:
        """Return the columns of the parts; they are measured once for what was read."""
        if self._measured_run is not run or self._measured_width != width:
            self._measured_run, self._measured_width = run, width
            self._room = self._measured(run.stages, width, app)
        return self._room

    def _measured(
        self, stages: Sequence[StageRun], width: int, app: FlowdaptApp
    ) -> tuple[int, int, int]:
        """Return the columns of the name, the bar, and the words behind it."""
        names = max((len(stage.name) for stage in stages), default=5)
        name = max(min(names, _NAME_MOST, width // 3), 5)
        far = min(max((cell_len(self._far(stage, app)) for stage in stages), default=0), width // 3)
        bar = width - _FIXED - name - far
        return (name, bar, far) if bar >= _BAR_LEAST else (name, max(bar + far, 0), 0)

    def _far(self, stage: StageRun, app: FlowdaptApp) -> str:
        """Return how far a stage is, how fast it went of late, and how long it will go on."""
        words = words_of(stage, glyphs=folded_signs(app.glyphs is ASCII))
        rates = self.paces.rates(stage)
        series = rates if len(rates) > 1 else self.sparks.get(stage.name, [])
        spark = f"{app.glyphs.spark(series)} " if len(series) > 1 else ""
        left = self.paces.left_s(stage, app.now())
        ends = "" if left is None else f" ~{coarse(left)} left"
        times, space, rest = words.partition(" ")
        if stage.items is not None and space:
            return f"{times} {spark}{rest}{ends}"
        return f"{spark}{words}{ends}".strip()

    def _bar(
        self, stage: StageRun, width: int, coloured: Style, dim: Style, app: FlowdaptApp
    ) -> list[Segment]:
        if self._line is None or not width:
            return []
        signs = {"gap": (" ", dim), "done": (app.glyphs.bar, coloured), "rest": (app.glyphs.rail, coloured)}  # fmt: skip
        pieces = bar_of(stage, self._line, self._line.scale(width, self.zoom))
        return [Segment(signs[kind][0] * columns, signs[kind][1]) for kind, columns in pieces]
