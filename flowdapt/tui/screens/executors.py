"""The executors: which is active, how busy each is and how it scales, who works there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flowdapt.domain.executor_profile import ExecutorView
from flowdapt.domain.wording import amount, short, size
from flowdapt.tui.model.news import SYSTEM
from flowdapt.tui.screens.actions.executors import ExecutorActions
from flowdapt.tui.screens.listing import LISTED, Listing
from flowdapt.tui.widgets.prose import Prose
from flowdapt.tui.widgets.table import Cell, Column

__all__ = ["Executors"]

_ROLES = {"ready": "good", "opening": "busy", "closed": "dim", "unavailable": "bad"}
_GLYPHS = {"ready": "finished", "opening": "running", "closed": "skipped", "unavailable": "failed"}
_BAR = 10


def _name(row: ExecutorView, app: Any) -> Cell:
    return Cell(
        f"{app.glyphs.mark if row.active else ' '} {row.name}", "mark" if row.active else ""
    )


def _state(row: ExecutorView, app: Any) -> Cell:
    return Cell(f"{app.glyphs.state(_GLYPHS[row.state])} {row.state}", _ROLES[row.state])


def _load(row: ExecutorView, app: Any) -> Cell:
    if row.slots:
        return Cell(f"{app.glyphs.meter(row.busy / row.slots, _BAR)} {row.busy}/{row.slots}")
    return Cell(f"{row.busy} running" if row.busy else "")


def _scale(row: ExecutorView) -> str:
    if row.maximum is None:
        return str(row.workers or "")
    return f"{row.workers} of {row.minimum}-{row.maximum}"


_COLUMNS: tuple[Column[ExecutorView], ...] = (
    Column("executor", _name, least=12, must=True),
    Column("kind", lambda row, _: Cell(row.kind, "dim")),
    Column("state", _state, width=13, must=True),
    Column("load", _load),
    Column("waiting", lambda row, _: Cell(str(row.waiting or ""), "warn"), right=True),
    Column("workers", lambda row, _: Cell(_scale(row)), right=True),
    Column("runs", lambda row, _: Cell(str(row.runs or "")), right=True, spare=True),
    Column("words", lambda row, _: Cell(row.words, "dim"), flex=True, spare=True),
)


class Executors(ExecutorActions, Listing[ExecutorView]):
    """The view on key 6."""

    KEYS = (*LISTED, "use", "why", "delete", "describe")
    view, title_words = "executors", "executors"
    COLUMNS = _COLUMNS
    PARTS = (SYSTEM,)
    WATCHES = True
    EMPTY = "no executor"

    def chosen_executor(self) -> ExecutorView | None:
        return self.current

    async def read(self) -> Sequence[ExecutorView]:
        return list(await self.client.executors.list())

    async def tell(self, row: ExecutorView) -> Prose:
        prose = Prose(self.desk)
        prose.pair("kind", row.kind).pair("state", row.words or row.state, _ROLES[row.state])
        for name, value in row.options.items():
            prose.pair(name, short(value))
        prose.pair("cpus", f"{row.cpus:g}" if row.cpus else "")
        prose.pair("gpus", f"{row.gpus:g}" if row.gpus else "")
        prose.pair("memory", size(row.memory_bytes) if row.memory_bytes else "")
        prose.pair("resources", ", ".join(f"{k}={v:g}" for k, v in row.resources.items()))
        if row.state == "ready":
            _tell_workers(prose, await self.client.executors.workers(row.name))
        return prose

    def act_open(self) -> None:
        """Show all of it: the list makes room."""
        self.desk.everywhere.act_zoom()


def _tell_workers(prose: Prose, workers: Sequence[Mapping[str, Any]]) -> None:
    prose.head(amount(len(workers), "worker"))
    if not workers:
        prose.text("none now: they start on demand", "dim")
    prose.table(
        [
            (one.get("name"), ""),
            (one.get("state"), "busy" if one.get("state") == "busy" else "dim"),
            (size(one.get("rss_bytes")), "dim"),
            (_task(one.get("task_key")), "dim"),
        ]
        for one in workers
    )


def _task(key: Any) -> str:
    """Return the stage and the item of a task; the run before them is long and tells little."""
    return " ".join(str(key).split("/")[1:]) if key else ""
