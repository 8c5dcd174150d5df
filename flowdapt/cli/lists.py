"""Decide how the daemon's short lists look: executors, their workers, plugins, secrets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flowdapt.cli.cells import short, size
from flowdapt.cli.tables import Column
from flowdapt.cli.views import text
from flowdapt.client.endpoints import system
from flowdapt.client.wire import Call

__all__ = ["EXECUTORS", "LISTS", "PLUGINS", "SECRETS", "WORKER_COLUMNS", "ShortList"]


@dataclass(frozen=True, slots=True)
class ShortList:
    """A list that comes whole: how it is asked for and drawn."""

    call: Callable[[], Call[Any]]
    columns: tuple[Column, ...]


def _slots(row: Any) -> str:
    return "" if row.get("slots") is None else f"{row.get('busy', 0)}/{row['slots']}"


def _extras(row: Any) -> str:
    return ", ".join(f"{name}={amount:g}" for name, amount in (row.get("resources") or {}).items())


EXECUTORS = ShortList(
    system.executors,
    (
        Column("active", lambda row: "*" if row.get("active") else ""),
        Column("name", text("name"), keep=True),
        Column("kind", text("kind"), keep=True),
        Column("state", text("state"), keep=True),
        Column("busy", _slots, right=True),
        Column("waiting", text("waiting"), right=True),
        Column("cpus", lambda row: f"{row.get('cpus', 0):g}", right=True),
        Column("gpus", lambda row: f"{row.get('gpus', 0):g}", right=True),
        Column("memory", lambda row: size(row.get("memory_bytes") or None), right=True),
        Column("resources", _extras, flex=True),
    ),
)
WORKER_COLUMNS = (
    Column("name", text("name"), keep=True),
    Column("state", text("state"), keep=True),
    Column("pid", text("pid"), right=True),
    Column("memory", lambda row: size(row.get("rss_bytes")), right=True),
    Column("task", text("task_key"), flex=True),
    Column(
        "details", lambda row: short(row["details"], 100) if row.get("details") else "", wide=True
    ),
)
PLUGINS = ShortList(
    system.plugins,
    (
        Column("name", text("name"), keep=True),
        Column("version", text("version")),
        Column("state", lambda row: "ok" if row.get("enabled") else "✖ disabled", keep=True),
        Column("provides", lambda row: ", ".join(row.get("provides") or ()), flex=True),
        Column("error", text("error"), keep=True, flex=True, style=lambda _: "bad"),
    ),
)
SECRETS = ShortList(
    system.list_secrets,
    (
        Column("name", text("name"), keep=True),
        Column("kept in", text("place"), keep=True),
    ),
)
LISTS = {"executor": EXECUTORS, "plugin": PLUGINS, "secret": SECRETS}
