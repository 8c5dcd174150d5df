"""The artifacts: namespaces, names and files, with a preview that decodes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowdapt.client.endpoints import artifacts as calls
from flowdapt.client.endpoints import runs as run_calls
from flowdapt.domain.errors import InvalidInput
from flowdapt.domain.wording import amount, parsed, short, size
from flowdapt.tui.keys import Key
from flowdapt.tui.model.news import RUNS
from flowdapt.tui.model.words import age
from flowdapt.tui.screens.listing import LISTED, Listing
from flowdapt.tui.widgets.dialogs import Ask, Confirm
from flowdapt.tui.widgets.prose import Prose
from flowdapt.tui.widgets.table import Cell, Column

__all__ = ["Artifact", "Artifacts"]

_RUNS = 500
_DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Row:
    """An artifact in the list."""

    namespace: str
    name: str
    files: int
    size_bytes: int
    modified_at: str


@dataclass(frozen=True, slots=True)
class File:
    """A file of an artifact."""

    name: str
    size_bytes: int
    modified_at: str


_COLUMNS: tuple[Column[Row], ...] = (
    Column("artifact", lambda row, _: Cell(row.name), least=16, must=True),
    Column("files", lambda row, _: Cell(str(row.files)), right=True),
    Column("size", lambda row, _: Cell(size(row.size_bytes)), right=True),
    Column("age", lambda row, app: Cell(age(parsed(row.modified_at), app.now()), "dim"), right=True, must=True),
    Column("namespace", lambda row, _: Cell(row.namespace, "dim"), spare=True),
)  # fmt: skip
_FILE_COLUMNS: tuple[Column[File], ...] = (
    Column("file", lambda row, _: Cell(row.name), least=12, must=True),
    Column("size", lambda row, _: Cell(size(row.size_bytes)), right=True),
    Column("age", lambda row, app: Cell(age(parsed(row.modified_at), app.now()), "dim"), right=True),
)  # fmt: skip


class Artifacts(Listing[Row]):
    """The view on key 8. Namespaces are those of the newest runs."""

    KEYS = (*LISTED, "delete", "describe")
    view, title_words = "artifacts", "artifacts"
    COLUMNS = _COLUMNS
    PARTS = (RUNS,)
    EMPTY = "no artifact: stages store them with flowdapt.artifacts"

    def key_of(self, row: Row) -> str:
        return f"{row.namespace}/{row.name}"

    async def read(self) -> Sequence[Row]:
        page = await self.client.ask(run_calls.list_(limit=_RUNS))
        namespaces = sorted({_DEFAULT, *(run.namespace for run in page.items)})
        found = [await self.client.artifacts.list(namespace) for namespace in namespaces]
        return [
            Row(one["namespace"], one["name"], one["files"], one["size_bytes"], one["modified_at"])
            for items in found
            for one in items
        ]

    async def tell(self, row: Row) -> Prose:
        detail = await self.client.ask(calls.files(row.name, namespace=row.namespace))
        prose = Prose(self.desk).pair("namespace", row.namespace)
        tell_metadata(prose, detail["metadata"])
        prose.head(amount(len(detail["files"]), "file"))
        return prose.table(
            [(one["name"], ""), (size(one["size_bytes"]), "dim")] for one in detail["files"]
        )

    def act_open(self) -> None:
        row = self.current
        if row is not None:
            self.desk.open_detail("artifact", row.namespace, row.name)

    async def act_delete(self) -> None:
        rows = self.rows.chosen
        words = ", ".join(row.name for row in rows[:5])
        if await self.desk.ask(Confirm(f"Delete {amount(len(rows), 'artifact')}?", words)):
            for row in rows:
                await self.client.artifacts.delete(row.name, namespace=row.namespace)
                self.desk.record.add(self.desk.now(), "artifact", "rm", row.name)
            self.act_refresh()


class Artifact(Listing[File]):
    """The files of one artifact, each with a preview."""

    KEYS = (*LISTED, "save", "describe")
    view, title_words = "artifacts", "artifact"
    COLUMNS = _FILE_COLUMNS
    PARTS = (RUNS,)
    EMPTY = "it has no file"

    def __init__(self, namespace: str, artifact: str) -> None:
        super().__init__()
        self.namespace, self.artifact = namespace, artifact

    @property
    def heading(self) -> str:
        return f"{self.namespace}/{self.artifact}   {super().heading}"

    def why_not(self, key: Key) -> str | None:
        if key.id == "save" and self.current is None:
            return "there is no file"
        return super().why_not(key)

    async def read(self) -> Sequence[File]:
        detail = await self.client.ask(calls.files(self.artifact, namespace=self.namespace))
        return [File(one["name"], one["size_bytes"], one["modified_at"]) for one in detail["files"]]

    async def tell(self, row: File) -> Prose:
        found = await self.client.artifacts.preview(
            self.artifact, row.name, namespace=self.namespace
        )
        prose = (
            Prose(self.desk).pair("format", found.get("format")).pair("size", size(row.size_bytes))
        )
        tell_head(prose, dict(found.get("about") or {}))
        if found.get("text"):
            prose.head("content").text(found["text"])
        if found.get("truncated"):
            prose.text("… the rest is in the file: S saves it", "dim")
        return prose

    def act_open(self) -> None:
        """Show all of the preview: the list makes room."""
        self.desk.everywhere.act_zoom()

    async def act_save(self) -> None:
        row = self.current
        if row is None:
            return
        given = await self.desk.ask(Ask("Save as", "a path on this machine", value=row.name))
        if given:
            content = await self.client.artifacts.get(
                self.artifact, row.name, namespace=self.namespace
            )
            path = await asyncio.to_thread(_write_new, given, content)
            self.desk.say(f"saved {size(len(content))} as {path}")
            self.desk.record.add(self.desk.now(), "artifact", "get", self.artifact, row.name)


def _write_new(given: str, content: bytes) -> Path:
    """Write a file that is not there yet; raise InvalidInput otherwise."""
    path = Path(given).expanduser().absolute()
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError:
        raise InvalidInput(f"{path} is there already", fix="give another name") from None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}") from error
    return path


def tell_head(prose: Prose, about: dict[str, Any]) -> None:
    """Tell what a frame or an array holds: names and types of columns, then the first rows."""
    columns, head = about.pop("columns", None), about.pop("head", None)
    index = about.pop("index", None)
    tell_metadata(prose, about)
    if isinstance(columns, list):
        prose.head("columns")
        prose.table([(str(part), "" if at == 0 else "dim") for at, part in enumerate(one)] for one in map(_listed, columns))  # fmt: skip
    if isinstance(head, list):
        names = [("", "dim"), *((str(_listed(one)[0]), "mark") for one in columns or ())]
        labels = index if isinstance(index, list) and len(index) == len(head) else range(len(head))
        rows = [[(label, "dim"), *((short(one, 32), "") for one in _listed(row))] for label, row in zip(labels, head, strict=True)]  # fmt: skip
        prose.head("first rows").table([names, *rows] if columns else rows)


def _listed(one: Any) -> list[Any]:
    return one if isinstance(one, list) else [one]


def tell_metadata(prose: Prose, metadata: Mapping[str, Any]) -> None:
    if metadata:
        prose.head("about")
    for name, value in metadata.items():
        prose.pair(name, short(value, 200))
