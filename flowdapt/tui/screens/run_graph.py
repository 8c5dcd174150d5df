"""The tab with the graph of a run's workflow, as it was at the run's revision, and the states of its stages."""

from __future__ import annotations

from textual.app import ComposeResult

from flowdapt.domain.errors import FlowdaptError
from flowdapt.domain.run import Run
from flowdapt.tui.keys import Key
from flowdapt.tui.model.graph import MOST, dependencies_of, draw
from flowdapt.tui.model.words import state_of
from flowdapt.tui.screens.run_gantt import tell_stage
from flowdapt.tui.screens.run_pane import RunPane
from flowdapt.tui.widgets.graph import GraphView
from flowdapt.tui.widgets.prose import Pane, Prose

__all__ = ["GraphPane"]


class GraphPane(RunPane):
    """Who waits for whom."""

    tab = "graph"

    def __init__(self) -> None:
        super().__init__()
        self._read_for = ""

    def compose(self) -> ComposeResult:
        yield GraphView()
        yield Pane(id="stage")

    @property
    def graph(self) -> GraphView:
        return self.query_one(GraphView)

    @property
    def stage(self) -> str | None:
        return self.graph.cursor

    def focus_main(self) -> None:
        self.graph.focus()

    def take(self, run: Run) -> None:
        self.graph.colour({stage.name: state_of(stage) for stage in run.stages})
        self._tell()

    async def read(self) -> None:
        """Read the definition once: a revision never changes."""
        run = self.run
        if run is None or self._read_for == run.uid:
            return
        try:
            found = await self.client.resources.get("workflow", run.workflow, revision=run.revision)
            drawing = draw(dependencies_of(found.spec))
            words = f"more than {MOST:,} places: too large for a drawing" if drawing is None else ""
        except (FlowdaptError, ValueError) as error:
            drawing, words = None, f"the definition cannot be drawn: {error}"
        else:
            self._read_for = run.uid
        self.graph.show(drawing, words)
        self.take(run)

    def on_graph_view_moved(self, event: GraphView.Moved) -> None:
        self._tell()

    def _tell(self) -> None:
        run, pane = self.run, self.query_one(Pane)
        stages = run.stages if run is not None else []
        stage = next((one for one in stages if one.name == self.graph.cursor), None)
        pane.display = stage is not None
        if stage is not None:
            pane.show(tell_stage(Prose(self.desk), stage, None))

    def why_not(self, key: Key) -> str | None:
        return "there is no graph" if key.id == "open" and self.graph.cursor is None else None

    def act_open(self) -> None:
        self.page.open_tab("logs", self.graph.cursor)

    def act_down(self) -> None:
        self.graph.move(down=1)

    def act_up(self) -> None:
        self.graph.move(down=-1)

    def act_left(self) -> None:
        self.graph.move(right=-1)

    def act_right(self) -> None:
        self.graph.move(right=1)
