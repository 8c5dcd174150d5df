"""The pane beside a list of runs: the one under the cursor, its stages as soon as they are known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.text import Text
from textual.containers import Vertical

from flowdapt.domain.run import Run, RunError, StageRun
from flowdapt.domain.wording import moment, short
from flowdapt.tui.model.words import error_line, state_of, took
from flowdapt.tui.widgets.safe import SafeText, cut, fitted, line, lines

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from flowdapt.tui.app import FlowdaptApp

__all__ = ["RunPreview"]

Row = list[tuple[object, str | None]]
_FRAMES = 12


class RunPreview(Vertical):
    """A run's figures, stages and error. `show` takes it as far as the list knows it."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self.run: Run | None = None

    def compose(self) -> ComposeResult:
        yield SafeText("", id="preview-text")

    def show(self, run: Run | None) -> None:
        """Draw a run; stages that are known of it stay while only its own figures are new."""
        known = self.run
        if run is not None and known is not None and known.uid == run.uid and not run.stages:
            run = run.model_copy(update={"stages": known.stages, "input": known.input})
        self.run = run
        self.draw()

    def draw(self) -> None:
        if self.display and self.is_mounted:
            rows = [] if self.run is None else list(self._rows(self.run))
            text = Text("\n").join(line(row) for row in rows)
            self.query_one("#preview-text", SafeText).show(text, layout=False)

    @property
    def desk(self) -> FlowdaptApp:
        return self.app  # type: ignore[return-value]  # the only app this pane is in

    def _rows(self, run: Run) -> Iterator[Row]:
        app = self.desk
        dim, width = app.colour("dim"), max(self.size.width - 3, 20)
        word = state_of(run)
        yield [
            (f"{app.glyphs.state(word)} {word}", f"bold {app.state_colour(word)}"),
            (f"  {took(run, app.now())}", None),
        ]
        for name, value in _figures(run):
            yield [(fitted(name, 10), dim), (cut(value, width - 10, app.glyphs.more), None)]
        if run.stages:
            yield []
            for stage in run.stages:
                yield self._stage(stage, width)
        if run.error is not None:
            yield []
            yield from self._error(run.error, width)

    def _stage(self, stage: StageRun, width: int) -> Row:
        app = self.desk
        word = state_of(stage)
        right = f"{_items(stage)} {took(stage, app.now()):>6}"
        name = fitted(stage.name, max(width - len(right) - 3, 6), more=app.glyphs.more)
        return [
            (f"{app.glyphs.state(word)} ", app.state_colour(word)),
            (f"{name} ", None),
            (right, app.colour("dim")),
        ]

    def _error(self, error: RunError, width: int) -> Iterator[Row]:
        """Yield the error; of its frames those of the user's code, the innermost last."""
        app = self.desk
        where = f" in {error.stage}" if error.stage else ""
        item = f"[{error.index}]" if error.index is not None else ""
        yield [
            (
                cut(f"{error.type.rpartition('.')[2]}{where}{item}", width),
                f"bold {app.colour('bad')}",
            )
        ]
        for text in lines(short(error.message, 600)):
            yield [(text, None)]
        for text in lines(error.traceback)[:-1][-_FRAMES:]:
            yield [(cut_left(text, width), app.colour("dim"))]


def cut_left(text: str, width: int) -> str:
    """Return a line of a traceback as wide as fits; its indent tells frames from code."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _items(stage: StageRun) -> str:
    items = stage.items
    if items is None or items.total is None:
        return ""
    return f"{items.finished:,}/{items.total:,}" + (f" {items.failed:,}✖" if items.failed else "")


def _figures(run: Run) -> list[tuple[str, str]]:
    rule = f" ({run.trigger_rule})" if run.trigger_rule else ""
    found = [
        ("name", run.name), ("workflow", f"{run.workflow}, revision {run.revision}"),
        ("reason", error_line(run) if run.error is None else ""),
        ("created", moment(run.created_at.isoformat())), ("source", f"{run.source}{rule}"),
        ("executor", run.executor), ("namespace", run.namespace if run.namespace != "default" else ""),
        ("parent", run.parent or ""), ("labels", ", ".join(f"{key}={value}" for key, value in run.labels.items())),
        ("input", short(run.input, 300) if run.input else ""),
    ]  # fmt: skip
    return [(name, value) for name, value in found if value]
