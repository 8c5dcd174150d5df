"""The daemon itself: version, paths, services, disk, warnings, and on a key what its check-up finds."""

from __future__ import annotations

from flowdapt.client.endpoints import system
from flowdapt.domain.wording import amount, duration, size
from flowdapt.tui.keys import Key
from flowdapt.tui.model.news import LINK, SYSTEM
from flowdapt.tui.screens.sheet import SHEET_KEYS, Sheet
from flowdapt.tui.widgets.dialogs import Confirm
from flowdapt.tui.widgets.prose import Prose

__all__ = ["System"]


class System(Sheet):
    """The view on key 0."""

    KEYS = (*SHEET_KEYS, "check", "backup", "drain", "start")
    view, title_words = "system", "system"
    PARTS = (LINK, SYSTEM)

    def __init__(self) -> None:
        super().__init__()
        self._found: list[str] | None = None

    def why_not(self, key: Key) -> str | None:
        if key.id == "start" and self.desk.link.usable:
            return "a daemon runs already"
        return super().why_not(key)

    async def tell(self) -> Prose:
        status = await self.client.status()
        prose = Prose(self.desk)
        draining = bool(status["draining"])
        prose.pair(
            "state",
            "draining: begins nothing new" if draining else "ready",
            "warn" if draining else "good",
        )
        prose.pair("version", status["version"]).pair("pid", status["pid"])
        prose.pair("up", duration(status["uptime_s"])).pair("free", size(status["free_bytes"]))
        runs = ", ".join(f"{count} {state}" for state, count in status["runs"].items())
        prose.pair("runs", runs)
        for warning in status["warnings"]:
            prose.parts((f"{self.desk.glyphs.warning} {warning}", "warn"))
        prose.head("services")
        for name, state in status["services"].items():
            prose.parts(
                (f"{name:<24}", ""), (state, "good" if state in {"running", "ready"} else "warn")
            )
        prose.head("where")
        for name in ("socket", "data_dir", "database", "artifacts", "broker", "log_file"):
            prose.pair(name.removesuffix("_dir").removesuffix("_file"), status.get(name))
            if name == "database" and status.get("database_bytes"):
                prose.pair("", size(status["database_bytes"]), "dim")
        return self._told_check(prose)

    def _told_check(self, prose: Prose) -> Prose:
        prose.head("check-up")
        if self._found is None:
            return prose.text(
                "c looks at the store and its files; flowdapt doctor looks at more", "dim"
            )
        if not self._found:
            return prose.text(f"{self.desk.glyphs.state('finished')} nothing is wrong", "good")
        prose.text(amount(len(self._found), "problem"), "bad")
        for one in self._found:
            prose.text(one)
        return prose

    async def act_check(self) -> None:
        self.desk.say("looking at the store and its files …")
        self._found = list((await self.client.ask(system.check()))["problems"])
        self.desk.record.add(self.desk.now(), "doctor")
        self.act_refresh()

    async def act_backup(self) -> None:
        made = await self.client.ask(system.backup())
        self.desk.record.add(self.desk.now(), "db", "backup")
        self.desk.say(f"the backup is {made.get('path', 'written')}")

    async def act_drain(self) -> None:
        """Stop the daemon in order; the screens go on and say that it is gone."""
        words = "Running stages may end first; nothing that was accepted is lost."
        if await self.desk.ask(Confirm("Stop the daemon?", words)):
            await self.client.ask(system.drain())
            self.desk.record.add(self.desk.now(), "down")

    def act_start(self) -> None:
        self.desk.everywhere.act_start()

    def act_copy(self) -> None:
        self.desk.copy(str(self.desk.link.status))
