"""What a person does to executors: switch with the checks shown, forget a profile, ask why one is away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from flowdapt.client.endpoints import runs as calls
from flowdapt.domain.executor_names import BACK
from flowdapt.domain.executor_profile import ExecutorView
from flowdapt.domain.finding import Finding
from flowdapt.domain.run import Reason
from flowdapt.domain.wording import amount
from flowdapt.tui.keys import Key
from flowdapt.tui.screens.view import View
from flowdapt.tui.widgets.choose import Choose
from flowdapt.tui.widgets.dialogs import Confirm
from flowdapt.tui.widgets.safe import line
from flowdapt.tui.widgets.why import Why

if TYPE_CHECKING:
    from flowdapt.tui.app import FlowdaptApp

__all__ = ["ExecutorActions", "choose_executor", "findings_text", "reasons_of", "use_executor"]

_OPEN = ("queued", "running")
_ASKED, _TOLD = 20, 10

_GLYPHS = {"ok": ("finished", "good"), "warning": ("", "warn"), "failed": ("failed", "bad")}
_ORDER = {"failed": 0, "warning": 1, "ok": 2}


class ExecutorActions(View):
    """Mixed into screens that show executors; these say which is meant."""

    def chosen_executor(self) -> ExecutorView | None:
        """Return the executor in sight."""
        return None

    def why_not(self, key: Key) -> str | None:
        row = self.chosen_executor()
        if key.id in {"use", "delete", "why"} and row is None:
            return "there is no executor"
        if key.id == "use" and row is not None and row.active:
            return "it is the active executor"
        if key.id == "delete" and row is not None and row.built_in:
            return "it is built in"
        return super().why_not(key)

    async def act_use(self, *words: str) -> None:
        row = self.chosen_executor()
        if words or row is not None:
            await use_executor(self.desk, words[0] if words else row.name if row else "")

    async def act_delete(self) -> None:
        """Forget a profile; what it stands for is not touched."""
        row = self.chosen_executor()
        if row is not None and await self.agrees(Confirm(f"Forget the executor {row.name}?", "")):
            await self.client.executors.remove(row.name)
            self.desk.record.add(self.desk.now(), "executor", "rm", row.name)

    async def act_why(self) -> None:
        """Say what its state means, what waits for it and why, and the way out."""
        row = self.chosen_executor()
        if row is not None:
            told = reasons_of(row)
            if row.waiting:
                told += await self._waiting_runs(row.name)
            await self.desk.ask(Why(f"Why is {row.name} {row.state}?", told))

    async def _waiting_runs(self, name: str) -> list[Reason | str]:
        """Return why the open runs that are pinned to an executor wait, the oldest first."""
        page = await self.client.ask(calls.list_(state=_OPEN, sort="created", limit=_ASKED))
        told: list[Reason | str] = []
        for run in page.items:
            if run.executor == name:
                found = await self.client.runs.explain(run.uid)
                told += [
                    one.model_copy(update={"subject": f"{run.name}, {one.subject}"})
                    for one in found
                    if one.subject.startswith("stage ") and one.fix
                ]
        return told[:_TOLD]


def reasons_of(row: ExecutorView) -> list[Reason | str]:
    """Return in words what the state of an executor means, and the way out."""
    fixes = {
        "closed": (f"nothing uses {row.name} now: it opens when you switch to it, or when a run asks for it", "u checks it and makes it the active one"),
        "opening": ("it is being opened: what it should run waits until then", None),
        "unavailable": (row.words or "it does not answer", f"flowdapt executor check {row.name}; or u on another one"),
        "ready": (f"it takes work: {row.words}" if row.workers else "it takes work; its workers start when there is some", None),
    }  # fmt: skip
    message, fix = fixes[row.state]
    told: list[Reason | str] = [Reason(subject="", code=f"executor.{row.state}", message=message, fix=fix)]  # fmt: skip
    if row.waiting:
        verb = "waits" if row.waiting == 1 else "wait"
        told.append(f"{amount(row.waiting, 'task')} {verb} for a free place")
    return told


async def choose_executor(desk: FlowdaptApp) -> None:
    """Offer the executors, then check the chosen one and switch to it."""
    rows = await desk.client.executors.list()
    choices = [
        (row.name, f"{row.kind:<6} {'active, ' if row.active else ''}{row.words or row.state}")
        for row in rows
    ]
    active = next((at for at, row in enumerate(rows) if row.active), 0)
    chosen = await desk.ask(Choose("Which executor from now on?", choices, at=active))
    if chosen is None:
        return
    if rows[[row.name for row in rows].index(chosen)].active:
        desk.say(f"{chosen} is the active executor")
    else:
        await use_executor(desk, chosen)


async def use_executor(desk: FlowdaptApp, name: str) -> None:
    """Check an executor, show what was found, and switch when the person agrees; `-` is the one before."""
    desk.say(f"checking {'the one before' if name == BACK else name} …")
    checked = await desk.client.executors.check(name)
    # What is switched to is what was shown, also when somebody else has switched meanwhile.
    name = checked.name
    failed = f"{name} failed its checks. Use it all the same?"
    title = f"Use {name} from now on?" if checked.passed else failed
    if await desk.ask(Confirm(title, findings_text(desk, checked.findings))):
        await _switch(desk, name, keep_going=not checked.passed)


async def _switch(desk: FlowdaptApp, name: str, *, keep_going: bool) -> None:
    done = await desk.client.use(name, keep_going=keep_going)
    desk.record.add(desk.now(), "use", name, *(["--keep-going"] if keep_going else []))
    if done.switched:
        pinned = sum(done.pinned.values())
        goes_on = f"; {amount(pinned, 'run')} go on elsewhere" if pinned else ""
        desk.say(f"now: {done.active}{goes_on}   undo: flowdapt use -")
    else:
        failed = [one.words for one in done.findings if one.level == "failed"]
        desk.say("\n".join([f"not switched (still: {done.active})", *failed]), "bad")


def findings_text(desk: FlowdaptApp, findings: Sequence[Finding]) -> Text:
    """Lay out what was found, the worst first, each with its fix."""
    rows: list[Text] = []
    for one in sorted(findings, key=lambda one: _ORDER[one.level]):
        state, role = _GLYPHS[one.level]
        code = f"   [{one.code}]" if one.code else ""
        sign = desk.glyphs.state(state) if state else desk.glyphs.warning
        rows.append(line([(f"{sign} ", desk.style_of(role)), (one.words, None), (code, "dim")]))  # fmt: skip
        if one.fix:
            rows.append(line([(f"    fix: {one.fix}", "dim")]))
    for row in rows:
        row.no_wrap, row.overflow = False, "fold"
    return Text("\n").join(rows)
