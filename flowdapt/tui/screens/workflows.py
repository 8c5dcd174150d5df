"""The workflows: how each went lately, what it is made of, what starts it; and the page about one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from textual.app import ComposeResult

from flowdapt.client.endpoints import runs as run_calls
from flowdapt.domain.resource import Resource
from flowdapt.domain.run import Run
from flowdapt.domain.wording import amount, coarse, duration
from flowdapt.domain.yaml_writing import to_yaml
from flowdapt.tui.keys import Key
from flowdapt.tui.model.graph import dependencies_of, draw
from flowdapt.tui.model.news import RESOURCES, RUNS, TRIGGERS
from flowdapt.tui.model.pulse import Pulse
from flowdapt.tui.model.resources import WorkflowRow, needs_of, workflow_rows
from flowdapt.tui.model.words import age, error_line, state_of, took
from flowdapt.tui.screens.actions.documents import DocumentActions
from flowdapt.tui.screens.actions.workflows import WorkflowActions
from flowdapt.tui.screens.document_sheet import DocumentSheet
from flowdapt.tui.screens.listing import LISTED, Listing
from flowdapt.tui.screens.sheet import SHEET_KEYS
from flowdapt.tui.widgets.graph import GraphView
from flowdapt.tui.widgets.prose import Prose
from flowdapt.tui.widgets.table import Cell, Column

__all__ = ["Workflow", "Workflows"]

_MOST = 500
_RUNS = 10
_COLUMNS_AT_ONCE = 20


def _last(row: WorkflowRow, app: Any) -> Cell:
    run = row.rhythm.last if row.rhythm else None
    if run is None:
        return Cell("never ran", "dim")
    word = state_of(run)
    return Cell(
        f"{app.glyphs.state(word)} {word} {age(run.created_at, app.now())}", f"state-{word}"
    )


def _next(row: WorkflowRow, app: Any) -> Cell:
    when = row.rhythm.next_at if row.rhythm else None
    return Cell("" if when is None else f"in {coarse((when - app.now()).total_seconds())}", "dim")


_COLUMNS: tuple[Column[WorkflowRow], ...] = (
    Column("workflow", lambda row, _: Cell(row.name), least=12, must=True),
    Column("last", _last, must=True),
    Column("took", lambda row, _: Cell(duration(row.rhythm.median_s) if row.rhythm else "", "dim"), right=True),
    Column("next", _next, right=True),
    Column("stages", lambda row, _: Cell(str(len(row.stages)), "dim"), right=True),
    Column("rev", lambda row, _: Cell(str(row.document.metadata.revision or ""), "dim"), right=True, spare=True),
    Column("group", lambda row, _: Cell(row.group, "dim"), spare=True),
)  # fmt: skip


class Workflows(WorkflowActions, DocumentActions, Listing[WorkflowRow]):
    """The view on key 2."""

    KEYS = (*LISTED, "run", "edit", "diff", "apply", "delete", "describe")
    view, title_words = "workflows", "workflows"
    COLUMNS = _COLUMNS
    PARTS = (RESOURCES, RUNS, TRIGGERS)
    EMPTY = "no workflow yet: flowdapt init DIR makes a project, flowdapt demo shows one"

    async def read(self) -> Sequence[WorkflowRow]:
        return await read_rows(self.client)

    document_kind = "workflow"

    def chosen_workflows(self) -> list[str]:
        return [row.name for row in self.rows.chosen]

    def chosen_documents(self) -> list[str]:
        return self.chosen_workflows()

    async def tell(self, row: WorkflowRow) -> Prose:
        prose = Prose(self.desk)
        spec = row.document.spec
        prose.pair("group", row.group).pair("about", spec.get("description"))
        prose.pair("configs", ", ".join(row.configs)).pair("timeout", spec.get("timeout"))
        tell_stages(prose, row)
        tell_rules(prose, row, self.desk)
        return prose

    def act_open(self) -> None:
        if self.current is not None:
            self.desk.open_detail("workflow", self.current.name)

    async def act_copy_yaml(self) -> None:
        documents = [row.document for row in self.rows.chosen]
        self.desk.copy("---\n".join(map(yaml_of, documents)))


class Workflow(WorkflowActions, DocumentSheet):
    """Everything about one workflow."""

    KEYS = (*SHEET_KEYS, "open", "left", "right", "run", "edit", "diff", "delete")
    view, title_words = "workflows", "workflow"
    PARTS = (RESOURCES, RUNS, TRIGGERS)
    document_kind = "workflow"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._row: WorkflowRow | None = None

    def body(self) -> ComposeResult:
        yield GraphView()
        yield from super().body()

    def chosen_workflows(self) -> list[str]:
        return [self.name_shown]

    def why_not(self, key: Key) -> str | None:
        if key.id == "open" and self._last is None:
            return "it never ran"
        return super().why_not(key)

    @property
    def _last(self) -> Run | None:
        row = self._row
        return row.rhythm.last if row is not None and row.rhythm is not None else None

    async def tell(self) -> Prose:
        name = self.name_shown
        async with asyncio.TaskGroup() as group:
            rows = group.create_task(read_rows(self.client))
            runs = group.create_task(self.client.ask(run_calls.list_(workflow=name, limit=_RUNS)))
            revisions = group.create_task(self.client.resources.revisions("workflow", name))
        self._row = next((row for row in rows.result() if row.name == name), None)
        if self._row is None:
            return Prose(self.desk).text(f"there is no workflow {name!r} any more", "bad")
        await self._draw_graph(self._row)
        spec = self._row.document.spec
        prose = Prose(self.desk).pair("about", spec.get("description"))
        prose.pair("group", self._row.group).pair("configs", ", ".join(self._row.configs))
        tell_stages(prose, self._row)
        prose.head("last runs")
        if not runs.result().items:
            prose.text("it never ran", "dim")
        width = max((len(run.name) for run in runs.result().items), default=0)
        for run in runs.result().items:
            word = state_of(run)
            prose.parts(
                (f"{self.desk.glyphs.state(word)} {word:<11}", f"state-{word}"),
                (f"{run.name:<{width}}  ", ""),
                (
                    f"{age(run.created_at, self.desk.now()):>5} {took(run, self.desk.now()):>8}",
                    "dim",
                ),
                (f"  {error_line(run)}", "dim"),
            )
        tell_rules(prose, self._row, self.desk)
        prose.head("revisions")
        for one in revisions.result().items:
            when = one.metadata.updated_at or one.metadata.created_at
            prose.parts((f"{one.metadata.revision:>4}  ", ""), (age(when, self.desk.now()), "dim"))
        prose.head("document").text(yaml_of(self._row.document))
        return prose

    async def _draw_graph(self, row: WorkflowRow) -> None:
        """Draw who waits for whom, coloured as the stages of its last run went."""
        graph = self.query_one(GraphView)
        try:
            drawing = draw(dependencies_of(row.document.spec))
        except ValueError:
            # A document of another version: the page below tells what it says.
            drawing = None
        graph.display = drawing is not None and len(row.stages) > 1
        if drawing is None or not graph.display:
            return
        graph.styles.height = min(drawing.height + 1, max(3, self.size.height * 2 // 5))
        graph.show(drawing)
        # The page scrolls, the drawing has no cursor.
        graph.cursor = None
        if self._last is not None:
            whole = await self.client.runs.get(self._last.uid)
            graph.colour({stage.name: state_of(stage) for stage in whole.stages})

    def act_open(self) -> None:
        """Look into its last run."""
        if self._last is not None:
            self.desk.open_detail("run", self._last.uid, "show")

    def act_left(self) -> None:
        self.query_one(GraphView).scroll_relative(x=-_COLUMNS_AT_ONCE, animate=False)

    def act_right(self) -> None:
        self.query_one(GraphView).scroll_relative(x=_COLUMNS_AT_ONCE, animate=False)

    def act_copy_yaml(self) -> None:
        if self._row is not None:
            self.desk.copy(yaml_of(self._row.document))


async def read_rows(client: Any) -> list[WorkflowRow]:
    """Read what the list of workflows is made of, at once."""
    async with asyncio.TaskGroup() as group:
        workflows = group.create_task(client.resources.list("workflow", limit=_MOST))
        configs = group.create_task(client.resources.list("config", limit=_MOST))
        runs = group.create_task(client.ask(run_calls.list_(limit=_MOST)))
        rules = group.create_task(client.triggers.list(limit=_MOST))
    pulse = Pulse()
    names = [one.metadata.name for one in workflows.result().items]
    page = runs.result()
    pulse.take(page.items, page.next, names, rules.result().items)
    return workflow_rows(
        workflows.result().items, configs.result().items, pulse.rhythms(), rules.result().items
    )


def tell_stages(prose: Prose, row: WorkflowRow) -> None:
    prose.head(amount(len(row.stages), "stage"))
    for stage in row.stages:
        mapped = " \N{MULTIPLICATION SIGN}" if stage.get("type") == "parameterized" else ""
        prose.parts((f"{stage.get('name')}{mapped}", "mark"), (f"  {stage.get('target')}", "dim"))
        depends = stage.get("depends_on") or ()
        names = [depends] if isinstance(depends, str) else depends
        told = [f"after {', '.join(map(str, names))}" if names else "", needs_of(stage)]
        if words := "   ".join(filter(None, told)):
            prose.text(f"    {words}", "dim")


def tell_rules(prose: Prose, row: WorkflowRow, app: Any) -> None:
    if row.rules:
        prose.head("started by")
    for rule in row.rules:
        when = f"  in {coarse((rule.next_at - app.now()).total_seconds())}" if rule.next_at else ""
        prose.parts((rule.name, ""), (f"  {rule.state.value}  {rule.words}{when}", "dim"))


def yaml_of(document: Resource) -> str:
    """Return a document as people write it."""
    return to_yaml(document.model_dump(mode="json", exclude_none=True))
