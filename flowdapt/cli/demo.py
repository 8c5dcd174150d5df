"""The command that shows flowdapt at work: applies the demo's project, runs it, tells what came out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any

from flowdapt.cli.grammar import Commands, Opt
from flowdapt.cli.run import submit
from flowdapt.cli.run_lists import list_runs
from flowdapt.cli.run_page import headline, tell_error
from flowdapt.cli.session import Session
from flowdapt.cli.tables import Column, draw
from flowdapt.cli.waiting import outcome_code, wait_for
from flowdapt.client.endpoints import artifacts as artifact_calls
from flowdapt.client.endpoints import resources as resource_calls
from flowdapt.client.endpoints import runs as run_calls
from flowdapt.client.endpoints import system
from flowdapt.demo import (
    ARTIFACT_PREFIX,
    CONFIG,
    FORECAST_RULE,
    PREDICT_WORKFLOW,
    RESOURCES,
    WORKFLOW,
    describe_result,
    documents,
    missing_packages,
)
from flowdapt.domain.errors import NotFound, Unavailable
from flowdapt.domain.wording import amount, size

commands = Commands()

# How long a rule may take to start a run, and that run to end, before nobody waits any more.
_STARTS_WITHIN_S = 6.0
_FORECAST_S = 120.0


@commands.add("demo")
def demo(
    session: Session,
    *,
    clean: Annotated[bool, Opt("--clean", "remove every trace of it")] = False,
) -> int:
    """Run a small machine-learning project on a year of real weather. No network is used."""
    if clean:
        _clean(session)
        return 0
    _refuse_without_packages()
    session.screen.told(
        ("Training a model per weather series, against the best naive forecast.", "bold")
    )
    _apply(session)
    found = submit(session, WORKFLOW, {}, follow=True)
    if not session.output.for_people:
        session.output.one(found, lambda: None)
    elif outcome_code(found) == 0:
        _show(session, found)
    else:
        session.screen.styled(*headline(found))
    if outcome_code(found):
        tell_error(session, found)
    return outcome_code(found)


def _apply(session: Session) -> None:
    """Apply the project; a config that was edited stays as it is."""
    screen = session.screen
    would = session.ask(resource_calls.apply(documents(), dry_run=True))["items"]
    edited = [one for one in would if one["kind"] == "config" and one["action"] == "updated"]
    session.ask(resource_calls.apply(documents(config=not edited)))
    names = ", ".join(
        f"{kind} {name}" for kind, name in RESOURCES if not edited or kind != "config"
    )
    screen.told(("✔ applied ", "good"), (names, None))
    for one in edited:
        screen.told(("✔ kept ", "good"), (f"config {one['name']}, which differs here", None))


def _refuse_without_packages() -> None:
    missing = missing_packages()
    if missing:
        raise Unavailable(
            f"the demo needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed",
            code="demo.missing_packages",
            fix="python -m pip install 'flowdapt[demo]'",
        )


def _show(session: Session, found: Mapping[str, Any]) -> None:
    screen = session.screen
    # The live view has said so already, where both go to one terminal.
    if not (screen.live and screen.out.isatty()):
        screen.styled(*headline(found))
    screen.data()
    headings, rows = describe_result(found["result"])
    draw(
        screen,
        _columns(headings),
        [dict(zip(headings, row, strict=True)) for row in rows],
        wide=False,
    )
    screen.data()
    stored = _artifacts(session)
    where = session.ask(system.status()).get("artifacts", "")
    count = sum(one["files"] for one in stored)
    screen.styled(
        ("models   ", "dim"),
        (
            f"{amount(len(stored), 'artifact')}, {amount(count, 'file')}, {size(sum(one['size_bytes'] for one in stored))}",
            None,
        ),
        (f"   in {where}", "dim"),
    )
    _show_forecast(session, found)
    screen.flush()
    _say_what_next(session, found)


def _show_forecast(session: Session, trained: Mapping[str, Any]) -> None:
    """Tell of the run that the end of the training has started by itself."""
    started = _started_by_rule(session, trained)
    if started is None:
        return
    run = wait_for(session, started, timeout_s=_FORECAST_S)
    made = run["result"] or []
    hours = len(made[0]["values"]) if made else 0
    session.screen.styled(
        ("forecast ", "dim"),
        (f"{amount(len(made), 'series', 'series')}, {amount(hours, 'hour')} ahead", None),
        (f"   by {run['name']}, which the trigger {FORECAST_RULE} started", "dim"),
    )


def _started_by_rule(session: Session, trained: Mapping[str, Any]) -> Mapping[str, Any] | None:
    until = time.monotonic() + _STARTS_WITHIN_S
    while time.monotonic() < until:
        wanted = run_calls.list_(workflow=PREDICT_WORKFLOW, label=[f"after={trained['name']}"])
        started: list[dict[str, Any]] = session.ask(wanted)["items"]
        if started:
            return started[0]
        time.sleep(0.05)
    return None


def _columns(headings: tuple[str, ...]) -> tuple[Column, ...]:
    numbers = headings[2:]
    return tuple(
        Column(title, lambda row, title=title: str(row[title]), keep=True, right=title in numbers)  # type: ignore[misc]  # binds the title of this turn
        for title in headings
    )


def _say_what_next(session: Session, found: Mapping[str, Any]) -> None:
    steps = (
        (f"flowdapt runs show {found['name']}", "the run, stage by stage"),
        ("flowdapt trigger ls", "what starts by itself, and when"),
        (f"flowdapt edit config {CONFIG}", "other series or models; run again"),
        ("flowdapt init myproject", "a project of your own"),
        ("flowdapt demo --clean", "remove every trace of this"),
    )
    session.screen.note()
    session.screen.note("What next", "bold")
    edge = max(len(command) for command, _ in steps)
    for command, meaning in steps:
        session.screen.told((f"  {command:<{edge}}  ", None), (meaning, "dim"))


def _artifacts(session: Session) -> list[dict[str, Any]]:
    found = session.ask(artifact_calls.list_(session.namespace))["items"]
    return [one for one in found if one["name"].startswith(ARTIFACT_PREFIX)]


def _clean(session: Session) -> None:
    """Remove runs, artifacts and resources; what is not there is no error."""
    # The rules first: what is removed must not start anything.
    resources = sum(_delete_resource(session, kind, name) for kind, name in reversed(RESOURCES))
    runs = 0
    for workflow in (WORKFLOW, PREDICT_WORKFLOW):
        for run in list_runs(session, limit=0, every=True, workflow=workflow)["items"]:
            _delete_run(session, run)
            runs += 1
    artifacts = _artifacts(session)
    for one in artifacts:
        session.ask(artifact_calls.delete(one["name"], namespace=session.namespace))
    counts = {"runs": runs, "artifacts": len(artifacts), "resources": resources}
    words = ", ".join(amount(count, what.removesuffix("s")) for what, count in counts.items())
    session.output.one(
        {"removed": counts},
        lambda: session.screen.told(("✔ removed ", "good"), (words, None)),
        name="demo",
    )


def _delete_run(session: Session, run: Mapping[str, Any]) -> None:
    if run["state"] not in {"finished", "failed", "cancelled"}:
        wait_for(session, session.ask(run_calls.cancel(run["uid"])), timeout_s=60)
    session.ask(run_calls.delete(run["uid"]))


def _delete_resource(session: Session, kind: str, name: str) -> bool:
    try:
        session.ask(resource_calls.delete(kind, name))
    except NotFound:
        return False
    return True
