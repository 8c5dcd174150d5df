"""What a person does to workflows: start a run, with a form for its input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flowdapt.client.endpoints import runs as calls
from flowdapt.client.repeating import new_key
from flowdapt.domain.display import json_text
from flowdapt.domain.resource import Resource
from flowdapt.domain.run import Run
from flowdapt.tui.keys import Key
from flowdapt.tui.model.form import Field, fields_of, shown
from flowdapt.tui.screens.view import View
from flowdapt.tui.widgets.form import Form

if TYPE_CHECKING:
    from flowdapt.tui.app import FlowdaptApp

__all__ = ["WorkflowActions", "start_run"]

_EXECUTOR = "executor"


class WorkflowActions(View):
    """Mixed into screens that show workflows; these say which are meant."""

    def chosen_workflows(self) -> Sequence[str]:
        """Return the names of the marked workflows, or of the one in sight."""
        return ()

    def why_not(self, key: Key) -> str | None:
        if key.id == "run" and not self.chosen_workflows():
            return "there is no workflow"
        return super().why_not(key)

    async def act_run(self, *words: str) -> None:
        """Start a run of the workflow in sight, or of the one that is named."""
        await start_run(self.desk, words[0] if words else self.chosen_workflows()[0])


async def start_run(desk: FlowdaptApp, name: str) -> None:
    """Ask for the input of a workflow and start a run of it; show that run."""
    document = await desk.client.resources.get("workflow", name)
    run = await desk.ask(await _form(desk, document))
    if run is not None:
        desk.open_detail("run", run.uid, "show")


async def _form(desk: FlowdaptApp, document: Resource) -> Form[Run]:
    name = document.metadata.name
    schema = document.spec.get("input_schema")
    given = await _last_input(desk, name)
    fields = fields_of(schema if isinstance(schema, dict) else None, given)
    executor = Field(f"on {_EXECUTOR}", about="empty: the active one")
    # The same key each time: what was sent and got no answer is not started twice.
    key = new_key()

    async def take(values: dict[str, Any], whole: dict[str, Any] | None) -> Run:
        on = values.pop(executor.name, None)
        input_ = values if whole is None else whole
        run = await desk.client.run(name, input_, executor=on, key=key)
        _note(desk, name, input_, on)
        return run

    text = "" if fields is not None else json_text(given, indent=2)
    about = str(document.spec.get("description") or "")
    return Form(
        f"Run {name}", [*(fields or ()), executor], take, json=None if fields is not None else text, text=about
    )  # fmt: skip


async def _last_input(desk: FlowdaptApp, name: str) -> dict[str, Any]:
    page = await desk.client.ask(calls.list_(workflow=name, limit=1))
    if not page.items:
        return {}
    run = await desk.client.runs.get(page.items[0].uid)
    return run.input if isinstance(run.input, dict) else {}


def _note(desk: FlowdaptApp, name: str, input_: dict[str, Any], executor: str | None) -> None:
    given = [word for key, value in input_.items() for word in ("--input", f"{key}={shown(value)}")]
    on = ["--on", executor] if executor else []
    desk.record.add(desk.now(), "run", name, *given, *on)
