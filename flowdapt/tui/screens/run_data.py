"""The tabs with what went into a run and came out of it, and with what went wrong, the user's frames first."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from textual.app import ComposeResult

from flowdapt.client.endpoints import runs as calls
from flowdapt.domain.errors import FlowdaptError
from flowdapt.domain.run import Run, RunError
from flowdapt.domain.wording import amount, size
from flowdapt.tui.keys import Key
from flowdapt.tui.model.run_facts import Frame, errors_of, frames_of, is_of_user, preview_words
from flowdapt.tui.screens.artifacts import tell_head
from flowdapt.tui.screens.run_files import save_bytes
from flowdapt.tui.screens.run_pane import RunPane
from flowdapt.tui.screens.scrolling import Scrolling
from flowdapt.tui.widgets.dialogs import Ask
from flowdapt.tui.widgets.prose import Pane, Prose

__all__ = ["DataPane", "ErrorPane", "tell_error"]

# A result that is larger is saved, not shown.
_SHOWN_BYTES = 256 * 1024
_SHOWN_LINES = 2000
_FRAMES_IN_BRIEF = 4


class _Page(Scrolling, RunPane):
    """A tab that is a page to scroll."""

    def compose(self) -> ComposeResult:
        yield Pane(id=f"page-{self.tab}")


class DataPane(_Page):
    """Input and result as JSON."""

    tab = "data"

    def __init__(self) -> None:
        super().__init__()
        self._result = ""
        self._drawn: Any = None

    def take(self, run: Run) -> None:
        told = sum(stage.result_preview is not None for stage in run.stages)
        about = (run.uid, run.state, self._result, told)
        if about != self._drawn:
            self._drawn = about
            self._draw(run)

    async def read(self) -> None:
        """Read a result that is too large for the run's own page and small enough to be shown."""
        run = self.run
        if run is None or self._result or run.result is not None or run.result_preview is None:
            return
        if (run.result_size_bytes or 0) <= _SHOWN_BYTES:
            try:
                found = await self.client.ask(calls.result(run.uid))
            except FlowdaptError:
                # A value that is no JSON has its preview.
                return
            self._result = _pretty(json.loads(found))
            self.take(run)

    def _draw(self, run: Run) -> None:
        prose = Prose(self.desk).head("input")
        _tell_json(prose, _pretty(run.input), empty="none")
        prose.head("result")
        if run.result is not None or self._result:
            _tell_json(prose, self._result or _pretty(run.result), empty="null")
        elif run.result_preview is not None:
            prose.pair("is", preview_words(run.result_preview))
            prose.pair("size", size(run.result_size_bytes))
            if isinstance(run.result_preview, dict):
                tell_head(prose, dict(run.result_preview))
            prose.text("S saves all of it, where it is JSON", "dim")
        else:
            prose.text("null" if run.state == "finished" else f"none: it is {run.state}", "dim")
        told = [one for one in run.stages if one.result_preview is not None]
        if told:
            prose.head("results of stages").table(
                [(one.name, ""), (preview_words(one.result_preview), "dim")] for one in told
            )
        self.pane.show(prose)

    def act_copy(self) -> None:
        self.desk.copy(self._text())

    def exported(self) -> tuple[str, str] | None:
        return "json", self._text()

    def _text(self) -> str:
        run = self.run
        if run is None:
            return ""
        result = json.loads(self._result) if self._result else run.result
        return _pretty({"input": run.input, "result": result if result is not None else run.result_preview})  # fmt: skip

    def why_not(self, key: Key) -> str | None:
        if key.id == "save" and self.run is not None and self.run.state != "finished":
            return f"there is no result: it is {self.run.state}"
        return None

    async def act_save(self) -> None:
        """Write the whole result to a file."""
        run = self.run
        if run is None:
            return
        given = await self.desk.ask(Ask("Save the result as", "a path on this machine", value=f"{run.name}.json"))  # fmt: skip
        if given:
            content = await self.client.ask(calls.result(run.uid))
            path = await asyncio.to_thread(save_bytes, given, content)
            self.desk.say(f"saved {size(len(content))} as {path}")
            self.desk.record.add(self.desk.now(), "runs", "result", run.name)


class ErrorPane(_Page):
    """What went wrong."""

    tab = "error"

    def __init__(self) -> None:
        super().__init__()
        self._whole = False
        self._drawn: Any = None

    def closed(self, run: Run) -> str | None:
        return None if errors_of(run) else "nothing went wrong"

    def take(self, run: Run) -> None:
        errors = errors_of(run)
        about = (self._whole, len(errors), run.state)
        if about == self._drawn:
            return
        self._drawn = about
        prose = Prose(self.desk)
        for error in errors:
            tell_error(prose, error, whole=self._whole)
        self.pane.show(prose, "nothing went wrong" if not errors else "")

    @property
    def stage(self) -> str | None:
        errors = errors_of(self.run) if self.run is not None else []
        return errors[0].stage if errors else None

    def act_trace(self) -> None:
        """Show whole tracebacks, or the frames of the user's code."""
        self._whole = not self._whole
        if self.run is not None:
            self.take(self.run)

    def act_copy(self) -> None:
        self.desk.copy(self._text())

    def exported(self) -> tuple[str, str] | None:
        return "txt", self._text()

    def _text(self) -> str:
        errors: Sequence[RunError] = errors_of(self.run) if self.run is not None else ()
        return "\n\n".join(one.traceback or f"{one.type}: {one.message}" for one in errors)


def tell_error(prose: Prose, error: RunError, *, whole: bool) -> Prose:
    """Tell one error: what and where, then the frames of the user's code, the innermost first."""
    item = "" if error.index is None else f" item {error.index}"
    prose.head(f"{error.stage or 'the run'}{item}")
    prose.parts((error.type.rpartition(".")[2], "bad"))
    prose.text(error.message)
    frames = frames_of(error.traceback)
    if whole or not frames:
        if error.traceback:
            prose.head("traceback").text(error.traceback, "dim")
        return prose
    ours = [frame for frame in frames if is_of_user(frame)]
    for frame in reversed(ours or frames[-_FRAMES_IN_BRIEF:]):
        _tell_frame(prose, frame)
    left = len(frames) - len(ours or frames[-_FRAMES_IN_BRIEF:])
    if left:
        prose.text(f"and {amount(left, 'frame')} of libraries: t shows all", "dim")
    return prose


def _tell_frame(prose: Prose, frame: Frame) -> None:
    prose.parts(("at ", "dim"), (f"{frame.path}:{frame.line}", "mark"), (f" in {frame.function}", "dim"))  # fmt: skip
    for code in frame.code[:1]:
        prose.text(f"    {code}")


def _tell_json(prose: Prose, text: str, *, empty: str) -> None:
    lines = text.splitlines()
    prose.text("\n".join(lines[:_SHOWN_LINES]) or empty)
    if len(lines) > _SHOWN_LINES:
        prose.text(f"… {len(lines) - _SHOWN_LINES:,} more lines: S saves all", "dim")


def _pretty(value: Any) -> str:
    return "" if value is None else json.dumps(value, indent=2, ensure_ascii=False, default=str)
