"""Commands about the daemon as it is: status, metrics, version."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from flowdapt.cli.grammar import Arg, Commands
from flowdapt.cli.session import Session
from flowdapt.cli.tables import Column, fields
from flowdapt.cli.views import text
from flowdapt.client.endpoints import system
from flowdapt.domain.wording import amount, coarse, size

commands = Commands()

_SAMPLE = re.compile(r"([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@commands.add("status")
def status(session: Session) -> None:
    """Say what the daemon is and does."""
    found = session.ask(system.status())
    session.output.one(found, lambda: show_status(session, found), name=str(found.get("pid")))


def show_status(session: Session, found: Mapping[str, Any]) -> None:
    screen, executor = session.screen, found.get("executor") or {}
    state, style = ("▣ draining", "warn") if found.get("draining") else ("▶ ready", "good")
    up = coarse(found.get("uptime_s", 0))
    screen.styled(
        (state, style),
        (f"  flowdapt {found['version']}", "bold"),
        (f"  pid {found['pid']}  up {up}", None),
    )
    slots = executor.get("slots")
    busy = "" if slots is None else f"  {executor.get('busy', 0)} of {slots} slots busy"
    runs = ", ".join(f"{count} {state}" for state, count in (found.get("runs") or {}).items())
    pairs = [
        ("runs", runs),
        ("triggers", _triggers(found.get("triggers") or {})),
        (
            "executor",
            f"{executor.get('name')} ({executor.get('kind')}, {executor.get('state')}){busy}",
        ),
        ("services", ", ".join(f"{k} {v}" for k, v in (found.get("services") or {}).items())),
        ("socket", str(found.get("socket") or "")),
        ("database", _database(found)),
        ("broker", str(found.get("broker") or "")),
        ("artifacts", str(found.get("artifacts") or "")),
        ("log", str(found.get("log_file") or "")),
        ("free disk", size(found.get("free_bytes"))),
    ]
    fields(screen, pairs, indent="  ")
    for warning in found.get("warnings") or ():
        screen.note(f"▲ {warning}", "warn")


def _database(found: Mapping[str, Any]) -> str:
    """Return where it is and how large; a daemon that tells no size is an older one, or has lost it."""
    told = size(found["database_bytes"]) if found.get("database_bytes") else ""
    return "  ".join(filter(None, (str(found.get("database") or ""), told)))


def _triggers(counts: Mapping[str, int]) -> str:
    if not counts.get("rules"):
        return ""
    told = [amount(counts["rules"], "rule")]
    return ", ".join(
        [*told, *(f"{counts[key]} {key}" for key in ("paused", "broken") if counts[key])]
    )


METRIC_COLUMNS = (
    Column("metric", text("name"), keep=True),
    Column(
        "labels", lambda row: ", ".join(f"{k}={v}" for k, v in row["labels"].items()), flex=True
    ),
    Column("value", lambda row: f"{row['value']:g}", keep=True, right=True),
)


@commands.add("metrics")
def metrics(
    session: Session, name: Annotated[str | None, Arg("part of the metric's name", "NAME")] = None
) -> None:
    """Print the daemon's figures; -o wide prints the Prometheus text as it is."""
    body = session.send(system.metrics().request).body.decode("utf-8", "replace")
    if session.output.form == "wide":
        for line in body.splitlines():
            session.screen.data(line)
        return
    # Buckets are for machines: a person reads count and sum.
    rows = [one for one in samples(body) if not one["name"].endswith(("_bucket", "_created"))]
    rows = [one for one in rows if name is None or name in one["name"]]
    session.output.many({"items": rows, "next": None}, METRIC_COLUMNS)


def samples(body: str) -> Iterator[dict[str, Any]]:
    """Yield the samples of a Prometheus text."""
    for line in body.splitlines():
        match = _SAMPLE.fullmatch(line.strip())
        if match is not None and not line.startswith("#"):
            labels = dict(_LABEL.findall(match[2] or ""))
            yield {"name": match[1], "labels": labels, "value": float(match[3])}


@commands.add("version")
def version(session: Session) -> None:
    """Print the version of this program."""
    from flowdapt import __version__

    found = {"version": __version__, "python": sys.version.split()[0], "executable": sys.executable}
    session.output.one(
        found, lambda: session.screen.data(f"flowdapt {__version__}"), name=__version__
    )
