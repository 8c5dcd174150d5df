"""The command that prints what stages said: `flowdapt logs RUN`, searched, followed, whole."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from flowdapt.cli.grammar import Arg, Commands, Opt
from flowdapt.cli.session import Session
from flowdapt.client.endpoints import runs as calls

commands = Commands()

_PAGE = 5000
_STYLES = {"warning": "warn", "error": "bad", "critical": "bad", "debug": "dim"}
Level = Literal["debug", "info", "warning", "error", "critical"]


@commands.add("logs")
def logs(
    session: Session,
    run: Annotated[str, Arg("name or uid of the run", "RUN", "run")],
    *,
    follow: Annotated[bool, Opt("-f --follow", "go on until the run has ended")] = False,
    stage: Annotated[str | None, Opt("--stage", "only of this stage", "NAME")] = None,
    index: Annotated[int | None, Opt("--index", "only of this item of a mapped stage", "N")] = None,
    level: Annotated[Level | None, Opt("--level", "this level and above", "LEVEL")] = None,
    grep: Annotated[
        str | None, Opt("--grep", "regular expression; searches the whole log", "RE")
    ] = None,
    context: Annotated[int, Opt("-C --context", "lines around a match", "N")] = 0,
    tail: Annotated[int, Opt("--tail", "only the last so many", "N")] = 0,
    every: Annotated[bool, Opt("--all", "all lines; without it the last 1000")] = False,
    bare: Annotated[bool, Opt("--bare", "the text alone, without time and stage")] = False,
) -> None:
    """Print what the stages of a run printed and logged."""
    uid = session.ask(calls.get(run))["uid"]
    which: dict[str, Any] = {"stage": stage, "level": level, "grep": grep, "index": index}
    if follow:
        feed = calls.tail(uid, **which)
        for kind, line in session.follow(feed, ended=lambda found: "truncated" in found):
            if kind == "log":
                _tell(session, line, bare=bare)
        return
    whole = every or grep is not None
    count = 0
    page = session.ask(
        calls.logs(
            uid, context=context, tail=not whole, limit=tail or (_PAGE if whole else 1000), **which
        )
    )
    while True:
        for line in page["items"]:
            _tell(session, line, bare=bare)
        count += len(page["items"])
        if not whole or not page["items"]:
            break
        page = session.ask(
            calls.logs(uid, context=context, after=page["next_after"], limit=_PAGE, **which)
        )
    _remark(session, page, count)


def _remark(session: Session, page: Mapping[str, Any], count: int) -> None:
    if not count:
        session.screen.note("no lines", "dim")
    if page.get("truncated"):
        session.screen.note("▲ a cap cut this log", "warn")


def _tell(session: Session, line: Mapping[str, Any], *, bare: bool) -> None:
    def show() -> None:
        if bare:
            session.screen.data(line["text"])
            return
        clock = datetime.fromtimestamp(line["time"], UTC).strftime("%H:%M:%S.%f")[:-3]
        item = "" if line.get("index") is None else f"[{line['index']}]"
        session.screen.styled(
            (f"{clock} ", "dim"),
            (f"{line['stage']}{item} ", "busy"),
            (line["text"], _STYLES.get(line.get("level", ""))),
        )

    session.output.event(line, show)
