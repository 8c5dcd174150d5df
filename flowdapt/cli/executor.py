"""Commands about executors: `flowdapt executor …`. The switch to one is `use.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from flowdapt.cli.findings import failed_of, show_findings, unreachable
from flowdapt.cli.grammar import Arg, Commands, Opt
from flowdapt.cli.lists import EXECUTORS, WORKER_COLUMNS
from flowdapt.cli.session import Session
from flowdapt.cli.usage import UsageProblem
from flowdapt.client.endpoints import executors as calls
from flowdapt.client.endpoints import system
from flowdapt.domain.executor_names import kind_of_scheme
from flowdapt.domain.wording import duration

commands = Commands()

UNREACHED = 7
# What begins so, or is one of these words, is JSON; all else is the text that was typed, also `0042`.
_JSON_BEGINS, _JSON_WORDS = ("{", "[", '"'), ("true", "false", "null")
# How options are named that are paths of files: `tls_cert`, `token_file`.
_FILES = ("tls_", "_file")

ExecutorName = Annotated[str, Arg("name of the executor", "NAME", "executor")]


@commands.add("ls")
def ls(session: Session) -> None:
    """List the executors: the active one, how each is, how busy, how many workers."""
    session.output.many(session.ask(EXECUTORS.call()), EXECUTORS.columns)


@commands.add(
    "add",
    epilog="A value that is a secret:  --option password='${secret:NAME}'  (flowdapt secret set NAME)",
)
def add(
    session: Session,
    name: Annotated[str, Arg("how it is called from now on", "NAME")],
    kind: Annotated[str, Arg("dask, ray, or what a plugin brings", "KIND", "executor-kind")],
    *,
    address: Annotated[
        str | None, Opt("--address", "the cluster's; without it one is started here", "URL")
    ] = None,
    storage: Annotated[
        str | None, Opt("--storage", "where workers find artifacts (s3://…)", "URL")
    ] = None,
    option: Annotated[
        list[str] | None, Opt("--option", "an option of the kind; repeat for more", "NAME=VALUE")
    ] = None,
    insecure: Annotated[
        bool, Opt("--insecure", "allow another machine without TLS and authentication")
    ] = False,
) -> None:
    """Keep the configuration of an executor under a name. Nothing is opened yet."""
    options = _options(option or [])
    if session.local:
        options = {key: _found_from_anywhere(key, value) for key, value in options.items()}
    given = {"address": address, "storage": storage, "insecure": insecure or None}
    options |= {key: value for key, value in given.items() if value is not None}
    made = session.ask(calls.add(name, kind, options))
    session.output.one(made, lambda: _added(session, made), name=made["name"])


def _added(session: Session, made: dict[str, Any]) -> None:
    session.screen.styled(("✔ ", "good"), (f"{made['name']} ({made['kind']})", "bold"))
    session.screen.note(
        f"  look at it: flowdapt executor check {made['name']}   run there: flowdapt use {made['name']}",
        "dim",
    )


def _options(words: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise UsageProblem(
                f"--option {word!r} is not name=value", fix="write --option name=value"
            )
        found[name] = _value(text)
    return found


def _value(text: str) -> Any:
    if text in _JSON_WORDS or text.startswith(_JSON_BEGINS):
        from flowdapt.cli.reading import value_of

        return value_of(text)
    return text


def _found_from_anywhere(name: str, value: Any) -> Any:
    """Return the whole path of a file beside us: the daemon has a working directory of its own."""
    if isinstance(value, str) and (name.startswith(_FILES[0]) or name.endswith(_FILES[1])):
        path = Path(value).expanduser()
        if path.is_file():
            return str(path.absolute())
        if path.suffix or "/" in value:
            raise UsageProblem(f"{name}: there is no file {value}", fix="write where it lies")
    return value


@commands.add(
    "check",
    epilog="An address that has no name yet:  flowdapt use URL  checks it, and goes there if it is well\n"
    "Exit code: 0 nothing failed, 1 something did, 7 it cannot be opened.",
)
def check(session: Session, name: ExecutorName) -> int:
    """Open an executor if need be, compare versions, look at workers and storage, run a small task."""
    _refuse_address(name, _ways_to_check(name))
    _say_that_it_takes_time(session, name)
    found = session.ask(calls.check(name))
    session.output.one(found, lambda: _show(session, found), name=found["name"])
    return exit_code(found["findings"])


def _refuse_address(name: str, fix: str = "flowdapt executor ls  tells the names") -> None:
    if "://" in name:
        raise UsageProblem(f"{name} is an address, not the name of an executor", fix=fix)


def _ways_to_check(address: str) -> str:
    kind = kind_of_scheme(address.partition("://")[0])
    return (
        f"flowdapt use {address}  checks it, and goes there if it is well; "
        f"or give it a name: flowdapt executor add NAME {kind} --address {address}"
    )


def _show(session: Session, found: dict[str, Any]) -> None:
    show_findings(session.screen, found["findings"])
    took = duration(found.get("took_s"))
    if found["passed"]:
        session.screen.styled(
            ("✔ ", "good"), (f"{found['name']} can be used", "bold"), (f"  {took}", "dim")
        )
    else:
        session.screen.styled(("✖ ", "bad"), (f"{found['name']} cannot be used as it is", "bold"))


def exit_code(findings: list[dict[str, Any]]) -> int:
    """Return 1 when a check failed, 7 when there was nothing to check."""
    return UNREACHED if unreachable(findings) else int(bool(failed_of(findings)))


def _say_that_it_takes_time(session: Session, name: str) -> None:
    if session.output.for_people and session.screen.live:
        session.screen.note(f"looking at {name} …", "dim")


@commands.add("workers")
def workers(
    session: Session,
    name: Annotated[
        str | None, Arg("name of the executor; the active one if left out", "NAME", "executor")
    ] = None,
) -> None:
    """List the workers of an executor as they are now."""
    _refuse_address(name or "")
    chosen = name or session.ask(system.status())["executor"]["name"]
    session.output.many(session.ask(calls.workers(chosen)), WORKER_COLUMNS)


@commands.add("rm")
def rm(session: Session, name: ExecutorName) -> int:
    """Forget an executor. The active one, and one that open runs are on, stays."""
    _refuse_address(name)
    if not session.confirm(f"forget executor {name}?"):
        return 1
    session.ask(calls.remove(name))
    session.output.acted("removed", "executor", name)
    return 0
