"""Decide how the daemon's short lists look: executors, their workers, plugins, secrets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flowdapt.cli.tables import Column
from flowdapt.cli.views import text
from flowdapt.client.endpoints import executors, system
from flowdapt.client.wire import Call
from flowdapt.domain.wording import short, size

__all__ = [
    "EXECUTORS",
    "EXECUTOR_STYLES",
    "LISTS",
    "PLUGINS",
    "SECRETS",
    "WORKER_COLUMNS",
    "ShortList",
]


@dataclass(frozen=True, slots=True)
class ShortList:
    """A list that comes whole: how it is asked for and drawn."""

    call: Callable[[], Call[Any]]
    columns: tuple[Column, ...]


def _slots(row: Any) -> str:
    """Return how many tasks run, of how many that can; a cluster queues by itself."""
    if row.get("state") == "closed":
        return ""
    busy = row.get("busy", 0)
    return f"{busy}" if row.get("slots") is None else f"{busy}/{row['slots']}"


def _extras(row: Any) -> str:
    return ", ".join(f"{name}={amount:g}" for name, amount in (row.get("resources") or {}).items())


def _scale(row: Any) -> str:
    """Return `3 of 1-4` where it scales by itself, else the number of workers that are there."""
    if row.get("state") == "closed":
        return ""
    workers, least, most = row.get("workers", 0), row.get("minimum", 0), row.get("maximum")
    return f"{workers}" if most is None else f"{workers} of {least}-{most}"


def _memory(row: Any) -> str:
    return size(row.get("memory_bytes") or None)


EXECUTOR_STYLES = {"ready": "good", "opening": "busy", "unavailable": "bad", "closed": "dim"}
_EXECUTOR_GLYPHS = {"ready": "✔", "opening": "▶", "unavailable": "✖", "closed": "·"}


def _executor_state(row: Any) -> str:
    state = row.get("state", "")
    return f"{_EXECUTOR_GLYPHS.get(state, '?')} {state}"


def _trouble(row: Any) -> str:
    """Return why it is not ready; how it scales stands in a column of its own."""
    return "" if row.get("state") == "ready" else str(row.get("words") or "")


EXECUTORS = ShortList(
    executors.list_,
    (
        Column("active", lambda row: "*" if row.get("active") else ""),
        Column("name", text("name"), keep=True),
        Column("kind", text("kind"), keep=True),
        Column(
            "state",
            _executor_state,
            keep=True,
            style=lambda row: EXECUTOR_STYLES.get(row.get("state", "")),
        ),
        Column("busy", _slots, right=True),
        Column("waiting", text("waiting"), right=True),
        Column("runs", lambda row: str(row.get("runs") or ""), right=True),
        Column("workers", _scale, right=True),
        Column("cpus", lambda row: f"{row.get('cpus') or 0:g}".removeprefix("0"), right=True),
        Column("gpus", lambda row: f"{row.get('gpus') or 0:g}".removeprefix("0"), right=True),
        Column("memory", _memory, right=True),
        Column("resources", _extras, flex=True),
        Column("how it is", _trouble, flex=True),
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
