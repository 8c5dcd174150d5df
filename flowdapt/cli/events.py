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
from flowdapt.cli.views import text
from flowdapt.client.endpoints import system

commands = Commands()
_PAGE = 500

EVENT_COLUMNS = (
    Column("cursor", text("cursor"), wide=True, right=True),
    Column("time", lambda row: moment(row.get("time")), keep=True),
    Column("type", lambda row: _short_type(row["type"]), keep=True),
    Column("subject", text("subject"), keep=True, flex=True),
    Column("data", lambda row: short(row.get("data") or "", 200), flex=True),
)


def _short_type(kind: str) -> str:
    """Leave out what all types begin with."""
    return kind.removeprefix("com.event.")


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
    found = list(_last(session, types or [], run, limit)) if limit else []
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
            (f"  {short(event.get('data') or '', 120)}", "dim"),
        )

    session.output.event(event, show)
