"""The pane beside a list of runs: the one under the cursor, as far as the list knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.containers import VerticalScroll

from flowdapt.domain.run import Run
from flowdapt.domain.wording import moment, short
from flowdapt.tui.model.words import state_of, took
from flowdapt.tui.widgets.safe import SafeText

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from flowdapt.tui.app import FlowdaptApp

__all__ = ["RunPreview"]


class RunPreview(VerticalScroll, can_focus=False):
    """A run's own figures, its labels, and its error with the user's frames."""

    def compose(self) -> ComposeResult:
        yield SafeText("", id="preview-text")

    def show(self, run: Run | None) -> None:
        self.query_one("#preview-text", SafeText).show("" if run is None else self._told(run))

    def _told(self, run: Run) -> str:
        app: FlowdaptApp = self.app  # type: ignore[assignment]  # the only app this pane is in
        pairs = [
            ("name", run.name), ("workflow", f"{run.workflow} (revision {run.revision})"),
            ("state", state_of(run)), ("took", took(run, app.now())),
            ("created", moment(run.created_at.isoformat())), ("source", run.source),
            ("executor", run.executor), ("namespace", run.namespace),
        ]  # fmt: skip
        told = [f"{name:<10}{value}" for name, value in pairs if value]
        if run.error is not None:
            told += ["", short(f"{run.error.type}: {run.error.message}", 400)]
        return "\n".join(told)
