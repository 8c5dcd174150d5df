"""Commands about rules that start workflows by themselves: `flowdapt trigger …`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from flowdapt.cli.complaint import complain
from flowdapt.cli.grammar import Arg, Commands, Opt
from flowdapt.cli.reading import count, duration_s, fire_state, read_bytes
from flowdapt.cli.run_page import headline, tell_error
from flowdapt.cli.session import Session
from flowdapt.cli.trigger_page import (
    FIRE_COLUMNS,
    TRIGGER_COLUMNS,
    Found,
    fire_word,
    instant_columns,
    instants,
    often,
    show_test,
    trigger_word,
    with_names,
)
from flowdapt.cli.usage import UsageProblem
from flowdapt.cli.views import RUN_COLUMNS
from flowdapt.cli.waiting import outcome_code, wait_for
from flowdapt.client.endpoints import runs as run_calls
from flowdapt.client.endpoints import triggers as calls
from flowdapt.domain.errors import FlowdaptError, InvalidDocument
from flowdapt.domain.wording import amount

commands = Commands()

_PAGE = 500
_FILES = (".json", ".yaml", ".yml")
_DONE = frozenset({"started", "waiting"})

RuleName = Annotated[str, Arg("name of the trigger rule", "NAME", "trigger_rule")]
EventOption = Annotated[
    str | None,
    Opt("--event", "a file (- is stdin), or cursor or id of one in the journal", "FILE|ID", "file"),
]


@commands.add("ls")
def ls(
    session: Session,
    *,
    search: Annotated[str | None, Opt("--search", "a part of the name", "TEXT")] = None,
) -> None:
    """List trigger rules: paused or not, when they fire next, what they decided last."""
    items: list[Any] = []
    cursor = None
    while True:
        page = session.ask(calls.list_(q=search, cursor=cursor, limit=_PAGE))
        items += page["items"]
        cursor = page.get("next")
        if cursor is None:
            break
    session.output.many({"items": items, "next": None}, TRIGGER_COLUMNS)


@commands.add("next")
def next_(
    session: Session,
    name: RuleName,
    *,
    number: Annotated[int, Opt("-n --count", "how many", "N", parse=count)] = 10,
) -> None:
    """Print the next instants of a schedule or an interval, in its zone and here."""
    outlook = session.ask(calls.next_(name, count=number))
    rows = instants(outlook)
    if session.output.form not in {"table", "wide", "name"}:
        session.output.one(outlook, lambda: None)
        return
    listed = {"items": rows, "next": None}
    session.output.many(listed, instant_columns(rows), name=lambda row: str(row["utc"]))
    session.screen.note(f"{outlook['words']}: {often(outlook)}", "dim")
    status = session.ask(calls.status(name))
    if status["state"] != "armed":
        session.screen.note(f"▲ it does not fire now: the rule is {status['state']}", "warn")


@commands.add(
    "fire",
    epilog="Exit code: 0 started or waiting, 1 skipped or failed; with --wait as the runs ended.\n"
    "-o json prints the fire, with --wait its runs.",
)
def fire(
    session: Session,
    name: RuleName,
    *,
    event: EventOption = None,
    wait: Annotated[bool, Opt("--wait --no-wait", "wait for the end of its runs")] = False,
    follow: Annotated[bool, Opt("--follow -f", "show every stage as it goes")] = False,
    timeout: Annotated[
        float | None, Opt("--timeout", "how long to wait", "TIME", parse=duration_s)
    ] = None,
) -> int:
    """Fire a rule now, by hand, as if its instant or the event had come."""
    found = session.ask(calls.fire(name, event=event_of(event)))
    if found["state"] not in _DONE:
        session.output.one(found, lambda: None, name=str(found["number"]))
        session.screen.flush()
        _complain(session, found)
        return 1
    if (wait or follow) and found["runs"]:
        return _waited(session, found, timeout, follow=follow)
    session.output.one(found, lambda: _show_fire(session, found), name=str(found["number"]))
    return 0


def _complain(session: Session, found: Found) -> None:
    said = found.get("error") or _SKIPPED.get(found.get("reason") or "", found.get("reason") or "")
    code = found["reason"] if "." in (found.get("reason") or "") else f"trigger.{found['state']}"
    message = f"rule {found['rule']} {found['state']}: {said}"
    fix = f"flowdapt trigger history {found['rule']}"
    complain(session.screen, FlowdaptError(message, code=code, fix=fix))


_SKIPPED = {
    "overlap": "a run of the rule is still open",
    "waiting": "another fire waits already for the open run to end",
}


def _show_fire(session: Session, found: Found) -> None:
    session.screen.styled((fire_word(found), "good"), (f"  {found['rule']}", "bold"))
    for uid in found["runs"]:
        session.screen.styled(("  ", None), *headline(session.ask(run_calls.get(uid))))
    if found["state"] == "waiting":
        session.screen.note("  it starts when the open run of the rule has ended", "dim")


def _waited(session: Session, found: Found, timeout: float | None, *, follow: bool) -> int:
    runs = [session.ask(run_calls.get(uid)) for uid in found["runs"]]
    ended = [wait_for(session, run, timeout_s=timeout, follow=follow) for run in runs]
    if len(ended) == 1:
        session.output.one(ended[0], lambda: session.screen.styled(*headline(ended[0])))
    else:
        session.output.many({"items": ended, "next": None}, RUN_COLUMNS)
    session.screen.flush()
    for run in ended:
        tell_error(session, run)
    return max(outcome_code(run) for run in ended)


@commands.add("pause")
def pause(
    session: Session,
    name: RuleName,
    *,
    reason: Annotated[str | None, Opt("--reason", "why, for whoever looks later", "TEXT")] = None,
) -> None:
    """Keep a rule from firing by itself; it stays paused over restarts and edits."""
    _tell(session, session.ask(calls.pause(name, reason=reason)))


@commands.add("resume")
def resume(session: Session, name: RuleName) -> None:
    """Let a paused rule go on from now; what it missed is not made up for."""
    _tell(session, session.ask(calls.resume(name)))


def _tell(session: Session, found: Found) -> None:
    reason = found.get("paused_reason") or ""
    session.output.one(
        found,
        lambda: session.screen.styled(
            (trigger_word(found), None), (f"  {found['name']}", "bold"), (f"  {reason}", "dim")
        ),
    )


@commands.add(
    "test", epilog="Exit code: 0 it would fire, 1 it would not. Nothing is started or stored."
)
def try_(session: Session, name: RuleName, *, event: EventOption = None) -> int:
    """Say whether a rule would fire for an event (the newest that fits), clause by clause.

    Shows what it would do, and what else stands in the way.
    """
    found = session.ask(calls.try_(name, event=event_of(event)))
    session.output.one(found, lambda: show_test(session.screen, found), name=found["rule"])
    return 0 if found["fires"] else 1


@commands.add("history")
def history(
    session: Session,
    name: RuleName,
    *,
    number: Annotated[int, Opt("-n --limit", "the last so many", "N", parse=count)] = 20,
    state: Annotated[
        list[str] | None,
        Opt("--state", "only in this state; repeat for more", "STATE", "fire-state", fire_state),
    ] = None,
) -> None:
    """List what a rule has decided, newest first: started, waiting, skipped, missed, failed."""
    items: list[Any] = []
    cursor = None
    while True:
        size = min(number - len(items), _PAGE)
        page = session.ask(calls.fires(name, state=state or [], cursor=cursor, limit=size))
        items += page["items"]
        cursor = page.get("next")
        if cursor is None or len(items) >= number:
            break
    if session.output.for_people and any(one["runs"] for one in items):
        items = with_names(session, items, name)
    session.output.many(
        {"items": items, "next": cursor}, FIRE_COLUMNS, name=lambda row: str(row["number"])
    )


# -- events --------------------------------------------------------------------------------------------


def event_of(word: str | None) -> dict[str, Any] | int | str | None:
    """Return the event that a word means: the content of a file or stdin, a cursor, or an id."""
    if word is None:
        return None
    if word.isdecimal():
        return int(word)
    path = Path(word)
    if word == "-" or "/" in word or path.suffix in _FILES or path.is_file():
        return _read(path)
    return word


def _read(path: Path) -> dict[str, Any]:
    from flowdapt.domain.documents import read

    documents, problems = read(read_bytes(path), source=str(path))
    if problems:
        raise InvalidDocument(f"{path} cannot be read", problems=problems)
    value = documents[0].value if len(documents) == 1 else None
    if not isinstance(value, dict):
        raise UsageProblem(
            f"{path} holds {amount(len(documents), 'value')}, and not one event",
            fix='write one: {"type": "my.event", "data": {"loss": 0.5}}',
        )
    return value
