"""The configs: for which workflows each is, and the values that these get."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from flowdapt.domain.wording import amount
from flowdapt.domain.yaml_writing import to_yaml
from flowdapt.tui.model.news import RESOURCES
from flowdapt.tui.model.resources import ConfigRow, config_rows
from flowdapt.tui.model.words import age
from flowdapt.tui.screens.actions.documents import DocumentActions
from flowdapt.tui.screens.listing import LISTED, Listing
from flowdapt.tui.screens.workflows import yaml_of
from flowdapt.tui.widgets.prose import Prose
from flowdapt.tui.widgets.table import Cell, Column

__all__ = ["Configs"]

_MOST = 500


def _selects(row: ConfigRow) -> Cell:
    return Cell(row.broken, "bad") if row.broken else Cell(row.selector)


_COLUMNS: tuple[Column[ConfigRow], ...] = (
    Column("config", lambda row, _: Cell(row.name), least=12, must=True),
    Column("is for", lambda row, _: _selects(row), flex=True, must=True),
    Column("workflows", lambda row, _: Cell(str(len(row.workflows)), "" if row.workflows else "warn"), right=True),
    Column("rev", lambda row, _: Cell(str(row.document.metadata.revision or ""), "dim"), right=True, spare=True),
    Column("age", lambda row, app: Cell(age(row.document.metadata.updated_at, app.now()), "dim"), right=True, spare=True),
)  # fmt: skip


class Configs(DocumentActions, Listing[ConfigRow]):
    """The view on key 5."""

    KEYS = (*LISTED, "edit", "diff", "apply", "delete", "describe")
    view, title_words = "configs", "configs"
    COLUMNS = _COLUMNS
    PARTS = (RESOURCES,)
    EMPTY = "no config: workflows get no values besides their input"

    document_kind = "config"

    def chosen_documents(self) -> list[str]:
        return [row.name for row in self.rows.chosen]

    async def read(self) -> Sequence[ConfigRow]:
        async with asyncio.TaskGroup() as group:
            configs = group.create_task(self.client.resources.list("config", limit=_MOST))
            workflows = group.create_task(self.client.resources.list("workflow", limit=_MOST))
        return config_rows(configs.result().items, workflows.result().items)

    async def tell(self, row: ConfigRow) -> Prose:
        prose = Prose(self.desk)
        prose.pair("is for", row.selector).pair("broken", row.broken, "bad")
        prose.head(amount(len(row.workflows), "workflow"))
        for name in row.workflows:
            prose.text(name)
        if not row.workflows:
            prose.text("none: nobody gets these values", "warn")
        return prose.head("values").text(to_yaml(dict(row.data)) if row.data else "none")

    def act_open(self) -> None:
        """Show all of it: the list makes room."""
        self.desk.everywhere.act_zoom()

    def act_copy_yaml(self) -> None:
        self.desk.copy("---\n".join(yaml_of(row.document) for row in self.rows.chosen))
