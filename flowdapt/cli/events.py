"""The commands about the journal: `flowdapt events` reads and follows it, `post` adds to it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn

from flowdapt.cli.grammar import Arg, Commands, Opt
from flowdapt.cli.reading import moment_ago, read_document, value_of
from flowdapt.cli.session import Session
from flowdapt.cli.tables import Column
from flowdapt.cli.views import error_text, text
from flowdapt.client.endpoints import system
from flowdapt.domain.wording import moment, short

commands = Commands()
_PAGE = 500
_PAUSE_S = 0.2
_FAMILY = "com.event."
_OF_EXECUTORS = f"{_FAMILY}executor."

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
    return kind.removeprefix(_FAMILY)


def _about(event: Mapping[str, Any], limit: int) -> str:
    """Return what an event tells: of runs and stages which one, its state and why, else the data."""
    data = event.get("data") or ""
    if isinstance(data, Mapping) and str(event.get("type")).startswith(_OF_EXECUTORS):
        words = (
            f"{name}={one}" for name, one in data.items() if name != "name" and one is not None
        )
        return short(" ".join(words), limit)
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
        list[str] | None,
        Opt("--type", "only such types, a star is any text: workflow.*", "GLOB"),
    ] = None,
    run: Annotated[str | None, Opt("--run", "only of this run", "RUN", "run")] = None,
    workflow: Annotated[
        str | None, Opt("--workflow", "only of its runs", "WORKFLOW", "workflow")
    ] = None,
    subject: Annotated[
        str | None, Opt("--subject", "only where the subject begins so", "TEXT")
    ] = None,
    since: Annotated[
        str | None, Opt("--since", "since then: 2h, or an instant", "TIME", parse=moment_ago)
    ] = None,
    limit: Annotated[int, Opt("-n --limit", "the last so many", "N")] = 50,
) -> None:
    """Print the newest of what has happened, oldest first."""
    if follow:
        session.output.refuse_one_document("-f")
    chosen: dict[str, Any] = {
        "types": [form for one in types or () for form in _forms(one)],
        "run": run,
        "workflow": workflow,
        "subject": subject,
    }
    found, newest = _last(session, chosen, since, limit)
    if not follow:
        session.output.many(
            {"items": found, "next": None}, EVENT_COLUMNS, name=lambda row: row["id"]
        )
        return
    for event in found:
        _tell(session, event)
    _follow(session, chosen, newest)


def _follow(session: Session, chosen: Mapping[str, Any], after: int | None) -> NoReturn:
    """Go on over daemons that end and come again; one that stays away is an error."""
    session.waits = True
    while True:
        feed = system.watch_events(**chosen, after=after)
        for kind, event in session.follow(feed, ended=lambda _: False):
            (_tell_gap if kind == "gap" else _tell)(session, event)
            after = event.get("cursor", event.get("to", after))
        time.sleep(_PAUSE_S)


def _forms(type_: str) -> list[str]:
    """Return a type as it is, and as it is written in full: `trigger.*` is `com.event.trigger.*`."""
    return [type_] if type_.startswith(("*", _FAMILY)) else [type_, f"{_FAMILY}{type_}"]


def _last(
    session: Session, chosen: Mapping[str, Any], since: str | None, limit: int
) -> tuple[list[Any], int | None]:
    """Return the newest events, and where the journal ended then (None: nobody looked)."""
    if limit <= 0:
        return [], None
    if limit <= _PAGE:
        page = session.ask(system.events(**chosen, since=since, tail=True, limit=limit))
        return page["items"], page.get("newest")
    found: deque[Any] = deque(maxlen=limit)
    after: int | None = 0
    while after is not None:
        page = session.ask(system.events(**chosen, since=since, after=after, limit=_PAGE))
        found.extend(page["items"])
        after = page["next"]
    return list(found), found[-1]["cursor"] if found else 0


def _tell(session: Session, event: Mapping[str, Any]) -> None:
    def show() -> None:
        session.screen.styled(
            (moment(event.get("time")), "dim"),
            (f"  {_short_type(event['type'])}", "bold"),
            (f"  {event.get('subject', '')}", None),
            (f"  {_about(event, 120)}", "dim"),
        )

    session.output.event(event, show)


def _tell_gap(session: Session, gap: Mapping[str, Any]) -> None:
    count = gap.get("missed")
    what = "events are" if count is None else f"{count} events are"
    session.screen.note(f"{what} not shown: {gap.get('reason', '')}", "warn")


@commands.add("post")
def post(
    session: Session,
    type_: Annotated[str, Arg("its type, such as org.example.data_arrived", "TYPE")],
    *,
    data: Annotated[
        str | None, Opt("--data", "JSON, a text, or @FILE (@- reads standard input)", "JSON")
    ] = None,
    subject: Annotated[str | None, Opt("--subject", "what it is about", "TEXT")] = None,
    source: Annotated[str, Opt("--source", "who tells it", "TEXT")] = "flowdapt-cli",
    ident: Annotated[str | None, Opt("--id", "the same id is the same event", "ID")] = None,
) -> None:
    """Add an event of your own to the journal; triggers see it."""
    from flowdapt.client.repeating import new_key

    call = system.post_event(
        type_, _data(data), id_=ident or new_key(), source=source, subject=subject
    )
    event = session.ask(call)
    session.output.one(event, lambda: _tell(session, event), name=event["id"])


def _data(text: str | None) -> Any:
    if text is None:
        return None
    if not text.startswith("@"):
        return value_of(text)
    return value_of(read_document(Path(text[1:])).decode("utf-8", "surrogateescape"))
