"""The command that reads the journal: `flowdapt events`, and follows it."""

from __future__ import annotations

import fnmatch
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from flowdapt.cli.cells import moment, short
from flowdapt.cli.grammar import Commands, Opt
from flowdapt.cli.session import Session
from flowdapt.cli.tables import Column
from flowdapt.cli.views import error_text, text
from flowdapt.client.endpoints import system

commands = Commands()
_PAGE = 500

EVENT_COLUMNS = (
    Column("cursor", text("cursor"), wide=True, right=True),
    Column("time", lambda row: moment(row.get("time")), keep=True),
    Column("type", lambda row: _short_type(row["type"]), keep=True),
    Column("subject", text("subject"), keep=True, flex=True),
    Column("about", lambda row: _about(row, 200), flex=True),
    Column("data", lambda row: short(row.get("data") or "", 1000), wide=True),
)


def _short_type(kind: str) -> str:
    """Leave out what all types begin with."""
    return kind.removeprefix("com.event.")


def _about(event: Mapping[str, Any], limit: int) -> str:
    """Return what an event tells: of runs and stages which one, its state and why, else the data."""
    data = event.get("data") or ""
    if not isinstance(data, Mapping) or "state" not in data:
        return short(data, limit)
    name = "/".join(str(data[key]) for key in ("workflow", "stage") if data.get(key))
    reason = f"({data['reason']})" if data.get("reason") else ""
    error = error_text(data) if data.get("error") else ""
    parts = (data.get("name"), name, data["state"], reason, error)
    return short(" ".join(str(part) for part in parts if part), limit)


@commands.add("events")
def events(
    session: Session,
    *,
    follow: Annotated[bool, Opt("-f --follow", "go on with what happens from now on")] = False,
    types: Annotated[
        list[str] | None, Opt("--type", "only such types: *.workflow_finished", "GLOB")
    ] = None,
    run: Annotated[str | None, Opt("--run", "only of this run (uid)", "RUN", "run")] = None,
    limit: Annotated[int, Opt("--limit", "the last so many", "N")] = 50,
) -> None:
    """Print what has happened, oldest first."""
    if follow:
        session.output.refuse_one_document("-f")
    found = list(_last(session, types or [], run, limit)) if limit > 0 else []
    if follow:
        for event in found:
            _tell(session, event)
        for _, event in session.follow(system.watch_events(run=run), ended=lambda _: False):
            if _wanted(event, types or []):
                _tell(session, event)
    else:
        session.output.many(
            {"items": found, "next": None}, EVENT_COLUMNS, name=lambda row: row["id"]
        )


def _last(session: Session, types: Sequence[str], run: str | None, limit: int) -> Iterator[Any]:
    """Read the journal through and keep its end; exact types are left to the daemon."""
    exact = [] if any(mark in one for one in types for mark in "*?[") else list(types)
    kept: deque[Any] = deque(maxlen=limit)
    after: int | None = None
    while True:
        page = session.ask(system.events(after=after, run=run, types=exact, limit=_PAGE))
        kept.extend(one for one in page["items"] if _wanted(one, types))
        after = page.get("next")
        if after is None:
            yield from kept
            return


def _wanted(event: Mapping[str, Any], types: Sequence[str]) -> bool:
    if "type" not in event:
        return False
    return not types or any(
        fnmatch.fnmatchcase(kind, pattern)
        for pattern in types
        for kind in (event["type"], _short_type(event["type"]))
    )


def _tell(session: Session, event: Mapping[str, Any]) -> None:
    def show() -> None:
        session.screen.styled(
            (moment(event.get("time")), "dim"),
            (f"  {_short_type(event['type'])}", "bold"),
            (f"  {event.get('subject', '')}", None),
            (f"  {_about(event, 120)}", "dim"),
        )

    session.output.event(event, show)
