"""What a person does to runs: cancel, retry, delete, ask why; to one, to the marked, to all that a filter means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flowdapt.client.endpoints import runs as calls
from flowdapt.domain.display import json_text
from flowdapt.domain.run import Reason, Run
from flowdapt.domain.wording import amount
from flowdapt.tui.keys import Key
from flowdapt.tui.model.form import Field, shown
from flowdapt.tui.screens.actions.bulk import do_to_all
from flowdapt.tui.screens.view import View
from flowdapt.tui.widgets.choose import Choose
from flowdapt.tui.widgets.dialogs import Confirm, Dialog, TypedConfirm
from flowdapt.tui.widgets.form import Form
from flowdapt.tui.widgets.why import Why

if TYPE_CHECKING:
    from flowdapt.tui.app import FlowdaptApp

__all__ = ["RunActions", "RunDeeds", "hindrance"]

_PAGE = 500
_TYPED = 5


def hindrance(deed: str, runs: Sequence[Run]) -> str | None:
    """Return in words why none of these runs can be cancelled, retried or deleted; None when one can."""
    if deed in {"retry", "cancel", "delete", "why"} and not runs:
        return "there is no run"
    if deed == "cancel" and all(run.state.terminal for run in runs):
        return f"it has ended: {runs[0].state}" if len(runs) == 1 else "all of them have ended"
    if deed in {"retry", "delete"} and not any(run.state.terminal for run in runs):
        return f"it is {runs[0].state}: cancel it first" if len(runs) == 1 else "none has ended"
    return None


class RunDeeds:
    """What is done to given runs, from whatever screen; each gives the runs that it was done to."""

    def __init__(self, desk: FlowdaptApp) -> None:
        self._desk = desk

    async def cancel(self, chosen: Sequence[Run]) -> list[Run]:
        """Stop runs; asked first, since work is lost."""
        runs = [run for run in chosen if not run.state.terminal]
        title = (
            f"Cancel {runs[0].name}?" if len(runs) == 1 else f"Cancel {amount(len(runs), 'run')}?"
        )
        text = "Their stages are stopped within seconds."
        if not runs or not await self._desk.ask(Confirm(title, text)):
            return []
        return await self._do("cancelled", "cancel", runs)

    async def retry(self, chosen: Sequence[Run]) -> list[Run]:
        """Start anew from what failed; one run with a form, many as they were."""
        runs = [run for run in chosen if run.state.terminal]
        if len(runs) == 1:
            return await self._retry_one(await self._desk.client.runs.get(runs[0].uid))
        title = f"Retry {amount(len(runs), 'run')} from what failed?"
        text = "Each becomes a new run; finished stages are taken over."
        if not runs or not await self._desk.ask(Confirm(title, text)):
            return []
        return await self._do("retried", "retry", runs)

    async def _retry_one(self, run: Run) -> list[Run]:
        before = json_text(run.input, indent=2) if run.input is not None else ""
        known = run.input if isinstance(run.input, dict) else None
        stages = tuple(stage.name for stage in run.stages)
        fields = [
            Field("from", "choice", value="failed", choices=("failed", "start", *stages),
                  about="what failed and what follows, everything, or a stage and what follows"),
            Field("executor", value="", about=f"it ran on {run.executor}; empty: there again"),
        ]  # fmt: skip

        async def take(values: dict[str, Any], given: dict[str, Any] | None) -> Run:
            edited = given if known is not None and given != known else None
            start = values.get("from", "failed")
            # An edited input means to start over, unless a place to start from was asked for.
            place = None if edited is not None and start == "failed" else start
            executor = values.get("executor")
            new = await self._desk.client.runs.retry(
                run.uid, start_from=place, input=edited, executor=executor
            )
            options = _retry_options(start, known or {}, edited or {}, executor)
            self._desk.record.add(self._desk.now(), "runs", "retry", run.name, *options)
            return new

        form: Form[Run] = Form(
            f"Retry {run.name}", fields, take, json=before if known is not None else None
        )
        new = await self._desk.ask(form)
        if new is None:
            return []
        self._desk.open_detail("run", new.uid, "show")
        return [run]

    async def delete(self, chosen: Sequence[Run]) -> list[Run]:
        """Delete runs that have ended: rows, logs and values; many ask for a typed word."""
        runs = [run for run in chosen if run.state.terminal]
        if not runs or not await self._desk.ask(_deletion(runs, len(chosen) - len(runs))):
            return []
        return await self._do("deleted", "rm", runs)

    async def why(self, run: Run, stage: str | None = None) -> None:
        """Say why a run is as it is; of a stage, that stage first."""
        reasons: Sequence[Reason] = await self._desk.client.runs.explain(run.uid)
        self._desk.record.add(self._desk.now(), "runs", "why", run.name)
        first = [one for one in reasons if one.subject == f"stage {stage}"]
        if not first:
            await self._desk.ask(Why(f"Why is {run.name} {run.state}?", reasons))
            return
        state = next((one.state for one in run.stages if one.name == stage), "as it is")
        others = [one for one in reasons if one not in first]
        await self._desk.ask(Why(f"Why is stage {stage} {state}?", [*first, *others]))

    async def _do(self, done: str, command: str, runs: Sequence[Run]) -> list[Run]:
        calls_of = {
            "cancel": self._desk.client.runs.cancel, "retry": self._desk.client.runs.retry,
            "rm": self._desk.client.runs.delete,
        }  # fmt: skip
        finished = await do_to_all(self._desk, done, runs, lambda run: calls_of[command](run.uid))
        self._note(command, finished)
        return finished

    def _note(self, command: str, runs: Sequence[Run]) -> None:
        if runs:
            now = self._desk.now()
            self._desk.record.add(now, "runs", command, *(run.name for run in runs))


def _retry_options(
    start: str, before: Mapping[str, Any], after: Mapping[str, Any], executor: str | None
) -> list[str]:
    """Return what the command says besides the run: only what differs from a plain retry."""
    changed = [name for name, value in after.items() if name not in before or before[name] != value]
    return [
        *(["--from", start] if start != "failed" else []),
        *(word for name in changed for word in ("--input", f"{name}={shown(after[name])}")),
        *(["--on", executor] if executor else []),
    ]


def _deletion(runs: Sequence[Run], still_open: int) -> Dialog[Any]:
    text = "Rows, logs and values go; artifacts stay. It cannot be undone."
    if still_open:
        text += (
            f"\n{still_open} more {'has' if still_open == 1 else 'have'} not ended and will stay."
        )
    if len(runs) == 1:
        return Confirm(f"Delete {runs[0].name}?", text)
    word = str(len(runs)) if len(runs) >= _TYPED else "delete"
    return TypedConfirm(f"Delete {amount(len(runs), 'run')}?", text, word=word)


class RunActions(View):
    """Mixed into screens that show runs; these say which are meant."""

    def chosen_runs(self) -> Sequence[Run]:
        """Return the marked runs, or the one in sight."""
        return ()

    def chosen_stage(self) -> str | None:
        """Return the stage in sight, which `w` is asked about first."""
        return None

    def whole_query(self) -> Mapping[str, Any] | None:
        """Return the filter when every row that is loaded is marked and there are more; else None."""
        return None

    def why_not(self, key: Key) -> str | None:
        return hindrance(key.id, self.chosen_runs()) or super().why_not(key)

    async def act_cancel(self) -> None:
        self._unmark(await RunDeeds(self.desk).cancel(await self._meant()))

    async def act_retry(self) -> None:
        self._unmark(await RunDeeds(self.desk).retry(await self._meant()))

    async def act_delete(self) -> None:
        done = await RunDeeds(self.desk).delete(await self._meant())
        if done:
            self.gone(done)

    async def act_why(self) -> None:
        await RunDeeds(self.desk).why(self.chosen_runs()[0], self.chosen_stage())

    def gone(self, runs: Sequence[Run]) -> None:
        """Take note that runs were deleted from here."""

    # --- inside ----------------------------------------------------------------------------------

    def _unmark(self, done: Sequence[Run]) -> None:
        """Leave marked what was refused: that is what a person looks at next."""
        if self.table is not None and self.is_mounted:
            self.table.marks -= {run.uid for run in done}
            self.table.refresh()
            self.redraw_bars()

    async def _meant(self) -> list[Run]:
        """Return the chosen runs; where all that is loaded is marked, ask whether more are meant."""
        runs, query = list(self.chosen_runs()), self.whole_query()
        if query is None:
            return runs
        choice = await self.desk.ask(
            Choose("Which runs?", [("loaded", f"the {len(runs)} that are loaded"), ("all", "all that the filter means, beyond what is loaded")])
        )  # fmt: skip
        if choice is None:
            return []
        return runs if choice == "loaded" else await self._all(query)

    async def _all(self, query: Mapping[str, Any]) -> list[Run]:
        found: list[Run] = []
        cursor: str | None = None
        while True:
            page = await self.client.ask(calls.list_(**query, cursor=cursor, limit=_PAGE))
            found += page.items
            cursor = page.next
            if cursor is None:
                return found
