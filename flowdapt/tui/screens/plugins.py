"""The plugins: what each provides, and what is wrong with the broken ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flowdapt.client.endpoints import system
from flowdapt.tui.screens.listing import LISTED, Listing
from flowdapt.tui.widgets.prose import Prose
from flowdapt.tui.widgets.table import Cell, Column

__all__ = ["Plugins"]

Row = Mapping[str, Any]


def _state(row: Row, app: Any) -> Cell:
    if not row.get("enabled"):
        return Cell(f"{app.glyphs.state('failed')} broken", "bad")
    if row.get("error"):
        return Cell(f"{app.glyphs.warning} in part", "warn")
    return Cell(f"{app.glyphs.state('finished')} loaded", "good")


_COLUMNS: tuple[Column[Row], ...] = (
    Column("state", _state, width=9, must=True),
    Column("plugin", lambda row, _: Cell(str(row["name"])), least=12, must=True),
    Column("version", lambda row, _: Cell(str(row.get("version") or ""), "dim")),
    Column("provides", lambda row, _: Cell(", ".join(row.get("provides") or ()), "dim"), flex=True),
)


class Plugins(Listing[Row]):
    """The view on key 9."""

    KEYS = (*LISTED, "describe")
    view, title_words = "plugins", "plugins"
    COLUMNS = _COLUMNS
    EMPTY = "no plugin"

    def key_of(self, row: Row) -> str:
        return str(row["name"])

    async def read(self) -> Sequence[Row]:
        return await self.client.ask(system.plugins())

    async def tell(self, row: Row) -> Prose:
        prose = Prose(self.desk).pair("version", row.get("version"))
        prose.pair("is", "part of flowdapt" if row.get("builtin") else "installed beside flowdapt")
        prose.pair("error", row.get("error"), "bad").head("provides")
        for one in row.get("provides") or ["nothing"]:
            kind, _, name = str(one).partition(":")
            prose.parts((f"{kind:<10}", "dim"), (name, ""))
        return prose

    def act_open(self) -> None:
        """Show all of it: the list makes room."""
        self.desk.everywhere.act_zoom()
