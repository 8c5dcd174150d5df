"""What a person does to executors: switch with the checks shown, forget a profile, ask why one is away."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from flowdapt.domain.executor_profile import ExecutorView
from flowdapt.domain.finding import Finding
from flowdapt.domain.wording import amount
from flowdapt.tui.keys import Key
from flowdapt.tui.screens.view import View
from flowdapt.tui.widgets.dialogs import Confirm
from flowdapt.tui.widgets.safe import line
from flowdapt.tui.widgets.why import Why

__all__ = ["ExecutorActions"]

_GLYPHS = {"ok": ("finished", "good"), "warning": ("partial", "warn"), "failed": ("failed", "bad")}
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
        """Check the executor, show what was found, and switch when the person agrees."""
        row = self.chosen_executor()
        name = words[0] if words else row.name if row is not None else ""
        self.desk.say(f"checking {name} …")
        checked = await self.client.executors.check(name)
        text = self._findings(checked.findings)
        if checked.passed:
            agreed = await self.agrees(Confirm(f"Use {name} from now on?", text))
        else:
            title = f"{name} failed its checks. Use it all the same?"
            agreed = await self.agrees(Confirm(title, text))
        if not agreed:
            return
        done = await self.client.use(name, keep_going=not checked.passed)
        self.desk.record.add(
            self.desk.now(), "use", name, *([] if checked.passed else ["--keep-going"])
        )
        if done.switched:
            pinned = sum(done.pinned.values())
            goes_on = f"; {amount(pinned, 'run')} go on elsewhere" if pinned else ""
            self.desk.say(f"now: {done.active}{goes_on}   undo: flowdapt use -")
        else:
            failed = [one.words for one in done.findings if one.level == "failed"]
            self.desk.say("\n".join([f"not switched (still: {done.active})", *failed]), "bad")

    async def act_delete(self) -> None:
        """Forget a profile; what it stands for is not touched."""
        row = self.chosen_executor()
        if row is not None and await self.agrees(Confirm(f"Forget the executor {row.name}?", "")):
            await self.client.executors.remove(row.name)
            self.desk.record.add(self.desk.now(), "executor", "rm", row.name)

    async def act_why(self) -> None:
        row = self.chosen_executor()
        if row is not None:
            told = [row.words or row.state]
            if row.waiting:
                told.append(f"{amount(row.waiting, 'task')} wait for it")
            await self.desk.ask(Why(f"Why is {row.name} {row.state}?", told))

    def _findings(self, findings: Sequence[Finding]) -> Text:
        """Lay out what was found, the worst first, each with its fix."""
        rows: list[Text] = []
        for one in sorted(findings, key=lambda one: _ORDER[one.level]):
            state, role = _GLYPHS[one.level]
            code = f"   [{one.code}]" if one.code else ""
            rows.append(line([(f"{self.desk.glyphs.state(state)} ", self.desk.style_of(role)), (one.words, None), (code, "dim")]))  # fmt: skip
            if one.fix:
                rows.append(line([(f"    fix: {one.fix}", "dim")]))
        for row in rows:
            row.no_wrap, row.overflow = False, "fold"
        return Text("\n").join(rows)
