"""Know the names that a `:` command may be completed with; read when the line is called, never while one types."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flowdapt.domain.errors import FlowdaptError

if TYPE_CHECKING:
    from flowdapt.client import AsyncClient

__all__ = ["Names", "files_that_begin"]

_MOST = 500
_RUNS = 100


class Names:
    """The names of workflows, triggers, executors and of the newest runs, as they were last read."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, ...]] = {}

    def of(self, kind: str) -> Sequence[str]:
        """Return the names of `workflow`, `trigger`, `executor`, `run`, `open run` or `ended run`."""
        return self._known.get(kind, ())

    async def renew(self, client: AsyncClient) -> None:
        """Read the names again; what cannot be read stays as it was known."""
        await asyncio.gather(
            self._workflows(client), self._triggers(client),
            self._executors(client), self._runs(client),
        )  # fmt: skip

    async def _workflows(self, client: AsyncClient) -> None:
        try:
            found = (await client.resources.list("workflow", limit=_MOST)).items
        except FlowdaptError:
            return
        self._known["workflow"] = tuple(one.metadata.name for one in found)

    async def _triggers(self, client: AsyncClient) -> None:
        try:
            found = (await client.triggers.list(limit=_MOST)).items
        except FlowdaptError:
            return
        self._known["trigger"] = tuple(one.name for one in found)

    async def _executors(self, client: AsyncClient) -> None:
        try:
            found = await client.executors.list()
        except FlowdaptError:
            return
        self._known["executor"] = (*(one.name for one in found), "-")

    async def _runs(self, client: AsyncClient) -> None:
        from flowdapt.client.endpoints import runs as calls

        try:
            found = (await client.ask(calls.list_(limit=_RUNS))).items
        except FlowdaptError:
            return
        self._known["run"] = tuple(run.name for run in found)
        self._known["open run"] = tuple(run.name for run in found if not run.state.terminal)
        self._known["ended run"] = tuple(run.name for run in found if run.state.terminal)


def files_that_begin(text: str) -> list[str]:
    """Return the documents and folders whose path begins with this, for completion."""
    place = Path(text).expanduser()
    folder, start = (place, "") if text.endswith("/") else (place.parent, place.name)
    shown = text[: len(text) - len(start)]
    try:
        found = sorted(folder.iterdir())
    except OSError:
        return []
    return [
        f"{shown}{one.name}{'/' if one.is_dir() else ''}"
        for one in found
        if one.name.startswith(start)
        and (one.is_dir() or one.suffix in {".yaml", ".yml", ".json"})
        and (start.startswith(".") or not one.name.startswith("."))
    ]
