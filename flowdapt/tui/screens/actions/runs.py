"""What a person does to runs: cancel, retry, delete, ask why; to one, to the marked, to all that a filter means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flowdapt.client.endpoints import runs as calls
from flowdapt.domain.display import json_text
from flowdapt.domain.run import Run
from flowdapt.domain.wording import amount
from flowdapt.tui.keys import Key
from flowdapt.tui.model.form import Field
from flowdapt.tui.screens.actions.bulk import do_to_all
from flowdapt.tui.screens.view import View
from flowdapt.tui.widgets.choose import Choose
from flowdapt.tui.widgets.dialogs import Confirm, TypedConfirm
from flowdapt.tui.widgets.form import Form
from flowdapt.tui.widgets.why import Why

__all__ = ["RunActions"]

_PAGE = 500
_TYPED = 5


class RunActions(View):
    """Mixed into screens that show runs; these say which are meant."""

    def chosen_runs(self) -> Sequence[Run]:
        """Return the marked runs, or the one in sight."""
        return ()

    def whole_query(self) -> Mapping[str, Any] | None:
        """Return the filter when every row that is loaded is marked and there are more; else None."""
        return None

    def why_not(self, key: Key) -> str | None:
        runs = self.chosen_runs()
        if key.id in {"retry", "cancel", "delete", "why"} and not runs:
            return "there is no run"
        if key.id == "cancel" and all(run.state.terminal for run in runs):
            return f"it has ended: {runs[0].state}" if len(runs) == 1 else "all of them have ended"
        if key.id in {"retry", "delete"} and not any(run.state.terminal for run in runs):
            return f"it is {runs[0].state}: cancel it first" if len(runs) == 1 else "none has ended"
        return super().why_not(key)

    # --- cancel ----------------------------------------------------------------------------------

    async def act_cancel(self) -> None:
        """Stop runs; asked first, since work is lost."""
        runs = [run for run in await self._meant() if not run.state.terminal]
        title = (
            f"Cancel {runs[0].name}?" if len(runs) == 1 else f"Cancel {amount(len(runs), 'run')}?"
        )
        text = "Their stages are stopped within seconds."
        if runs and await self.agrees(Confirm(title, text)):
            await do_to_all(
                self.desk, "cancelled", runs, lambda run: self.client.runs.cancel(run.uid)
            )
            self._note("cancel", runs)

    # --- retry -----------------------------------------------------------------------------------

    async def act_retry(self) -> None:
        """Start anew from what failed; one run with a form, many as they were."""
        runs = [run for run in await self._meant() if run.state.terminal]
        if len(runs) == 1:
            await self._retry_one(await self.client.runs.get(runs[0].uid))
        elif runs:
            title = f"Retry {amount(len(runs), 'run')} from what failed?"
            if await self.agrees(
                Confirm(title, "Each becomes a new run; finished stages are taken over.")
            ):
                await do_to_all(
                    self.desk, "retried", runs, lambda run: self.client.runs.retry(run.uid)
                )
                self._note("retry", runs)

    async def _retry_one(self, run: Run) -> None:
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
            return await self.client.runs.retry(
                run.uid, start_from=place, input=edited, executor=executor
            )

        form: Form[Run] = Form(
            f"Retry {run.name}", fields, take, json=before if known is not None else None
        )
        new = await self.desk.ask(form)
        if new is not None:
            self._note("retry", [run])
            self.desk.open_detail("run", new.uid, "show")

    # --- delete ----------------------------------------------------------------------------------

    async def act_delete(self) -> None:
        """Delete runs that have ended: rows, logs and values; many ask for a typed word."""
        runs = [run for run in await self._meant() if run.state.terminal]
        if not runs:
            return
        text = "Rows, logs and values go; artifacts stay. It cannot be undone."
        if len(runs) == 1:
            agreed = await self.agrees(Confirm(f"Delete {runs[0].name}?", text))
        else:
            word = str(len(runs)) if len(runs) >= _TYPED else "delete"
            title = f"Delete {amount(len(runs), 'run')}?"
            agreed = await self.agrees(TypedConfirm(title, text, word=word))
        if agreed:
            await do_to_all(
                self.desk, "deleted", runs, lambda run: self.client.runs.delete(run.uid)
            )
            self._note("rm", runs)
            self.gone(runs)

    def gone(self, runs: Sequence[Run]) -> None:
        """Take note that runs were deleted from here."""

    # --- why -------------------------------------------------------------------------------------

    async def act_why(self) -> None:
        run = self.chosen_runs()[0]
        reasons = await self.client.runs.explain(run.uid)
        self.desk.record.add(self.desk.now(), "runs", "why", run.name)
        await self.desk.ask(Why(f"Why is {run.name} {run.state}?", reasons))

    # --- inside ----------------------------------------------------------------------------------

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

    def _note(self, command: str, runs: Sequence[Run]) -> None:
        self.desk.record.add(self.desk.now(), "runs", command, *(run.name for run in runs))
