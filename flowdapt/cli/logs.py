"""The command that prints what stages said: `flowdapt logs RUN`, searched, followed, whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from flowdapt.cli.grammar import Arg, Commands, Opt
from flowdapt.cli.session import Session
from flowdapt.cli.usage import closest
from flowdapt.client.endpoints import runs as calls
from flowdapt.client.wire import Feed
from flowdapt.domain.errors import NotFound, Unreachable

commands = Commands()

_PAGE, _LAST = 5000, 1000
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
    found = session.ask(calls.get(run))
    uid = found["uid"]
    if stage is not None:
        _refuse_unknown_stage(found, stage)
    which: dict[str, Any] = {"stage": stage, "level": level, "grep": grep, "index": index}
    if follow:
        session.output.refuse_one_document("-f")
        _follow(session, run, calls.tail(uid, **which), bare=bare)
        return
    if every or grep is not None:
        pages = _pages(session, uid, which | {"context": context})
    else:
        limit = tail or _LAST
        pages = iter(
            [session.ask(calls.logs(uid, tail=True, limit=limit, context=context, **which))]
        )
    _print(session, pages, bare=bare)


def _refuse_unknown_stage(run: Mapping[str, Any], stage: str) -> None:
    names = [one["name"] for one in run.get("stages") or ()]
    if stage not in names:
        near = closest(stage, names)
        raise NotFound(
            f"run {run['name']} has no stage {stage!r}",
            code="stage.not_found",
            fix=f"did you mean {near!r}?" if near else f"its stages are {', '.join(names)}",
        )


def _follow(session: Session, run: str, feed: Feed[Any], *, bare: bool) -> None:
    kind = ""
    for kind, line in session.follow(feed, ended=_is_end):
        if kind == "log":
            _tell(session, line, bare=bare)
    if kind != "end":
        raise Unreachable(
            "the daemon was stopped before the run ended",
            fix=f"flowdapt up   then  flowdapt logs {run} -f",
        )


def _is_end(found: Mapping[str, Any]) -> bool:
    return "truncated" in found


def _pages(session: Session, uid: str, which: Mapping[str, Any]) -> Iterator[Any]:
    """Read a whole log, or all its matches, page after page."""
    after = 0
    while True:
        page = session.ask(calls.logs(uid, after=after, limit=_PAGE, **which))
        yield page
        if not page["items"]:
            return
        after = page["next_after"]


def _print(session: Session, pages: Iterator[Any], *, bare: bool) -> None:
    """Write lines as pages come; where one document is asked for, all at once."""
    one_document = session.output.form in {"json", "yaml", "name"}
    kept: list[Any] = []
    count, page = 0, {}
    for page in pages:
        count += len(page["items"])
        if one_document:
            kept += page["items"]
            continue
        for line in page["items"]:
            _tell(session, line, bare=bare)
    if one_document:
        session.output.many({"items": kept, "next": None}, (), name=lambda line: line["text"])
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
