"""Commands that look at runs and change them: `flowdapt runs …`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from flowdapt.cli.cells import state_style, state_word
from flowdapt.cli.grammar import Arg, Commands, Opt
from flowdapt.cli.reading import count, duration_s, moment_ago, read_pairs, run_state
from flowdapt.cli.run import print_result, report
from flowdapt.cli.run_lists import delete_runs, list_runs, run_order
from flowdapt.cli.run_page import headline, show_run, tell_error, tell_failed_items
from flowdapt.cli.session import Session
from flowdapt.cli.tables import Column
from flowdapt.cli.views import METRIC_COLUMNS, RUN_COLUMNS, error_text, text
from flowdapt.cli.waiting import outcome_code, wait_for
from flowdapt.client.endpoints import runs as calls
from flowdapt.client.repeating import new_key
from flowdapt.domain.wording import moment

commands = Commands()

RunName = Annotated[str, Arg("name or uid of the run, or the beginning of either", "RUN", "run")]
RunNames = Annotated[list[str], Arg("names or uids of runs, or the beginnings", "RUN", "run")]


@commands.add("ls")
def ls(
    session: Session,
    *,
    state: Annotated[
        list[str] | None,
        Opt("--state", "only in this state; repeat for more", "STATE", "state", run_state),
    ] = None,
    workflow: Annotated[
        str | None, Opt("--workflow -w", "only of this workflow", "NAME", "workflow")
    ] = None,
    since: Annotated[
        str | None, Opt("--since", "created since: 2d, or an instant", "TIME", parse=moment_ago)
    ] = None,
    until: Annotated[
        str | None, Opt("--until", "created before: 1h, or an instant", "TIME", parse=moment_ago)
    ] = None,
    search: Annotated[str | None, Opt("--search", "words of the name or workflow", "TEXT")] = None,
    label: Annotated[
        list[str] | None, Opt("-l --label", "only with this label", "NAME=VALUE")
    ] = None,
    parent: Annotated[str | None, Opt("--parent", "only retries of this run", "RUN", "run")] = None,
    trigger: Annotated[
        str | None, Opt("--trigger", "only started by this rule", "NAME", "trigger_rule")
    ] = None,
    sort: Annotated[
        str | None,
        Opt(
            "--sort", "created, started, finished or duration; - reverses", "FIELD", parse=run_order
        ),
    ] = None,
    limit: Annotated[int, Opt("--limit", "at most so many", "N", parse=count)] = 50,
    every: Annotated[bool, Opt("--all", "all of them, page after page")] = False,
) -> None:
    """List runs, newest first."""
    page = list_runs(
        session, limit=limit, every=every, state=state or [], workflow=workflow, since=since,
        until=until, q=search, label=label or [], parent=parent, trigger=trigger, sort=sort,
    )  # fmt: skip
    session.output.many(page, RUN_COLUMNS)
    if page["next"] and session.output.for_people:
        session.screen.note(f"the first {len(page['items'])}; more with --limit or --all", "dim")


ITEM_COLUMNS = (
    Column("item", text("index"), keep=True, right=True),
    Column("state", state_word, keep=True, style=state_style),
    Column("attempt", text("attempt"), right=True),
    Column("error", error_text, keep=True, flex=True),
    Column("finished", lambda row: moment(row.get("finished_at")), wide=True),
)


@commands.add("show")
def show(
    session: Session,
    run: RunName,
    *,
    items: Annotated[
        str | None, Opt("--items", "the items of this mapped stage that did not finish", "STAGE")
    ] = None,
    state: Annotated[
        str | None, Opt("--state", "with --items: those in this state instead", "STATE", "state")
    ] = None,
) -> None:
    """Tell everything about a run, or list items of one of its stages."""
    if items is not None:
        page = session.ask(calls.items(run, items, state=state or "failed"))
        session.output.many(page, ITEM_COLUMNS, name=lambda row: str(row["index"]))
        return
    found = session.ask(calls.get(run))
    session.output.one(found, lambda: show_run(session, found))
    session.screen.flush()
    if session.output.for_people:
        tell_failed_items(session, found)
        if found["state"] == "queued":
            session.screen.note(f"  flowdapt runs why {found['name']}", "dim")


@commands.add("metrics")
def metrics(
    session: Session,
    run: RunName,
    *,
    stage: Annotated[str | None, Opt("--stage", "only of this stage", "NAME")] = None,
    name: Annotated[str | None, Opt("--name", "only this metric", "NAME")] = None,
) -> None:
    """Print the series that a run's stages recorded."""
    page = session.ask(calls.metrics(run, stage=stage, name=name))
    session.output.many(page, METRIC_COLUMNS, name=lambda row: f"{row['stage']}/{row['name']}")


@commands.add("cancel")
def cancel(
    session: Session,
    runs: RunNames,
    *,
    wait: Annotated[bool, Opt("--wait --no-wait", "wait for the end")] = False,
) -> None:
    """Ask for the end of runs; those that have ended stay as they are."""
    found = [session.ask(calls.cancel(run)) for run in runs]
    if wait:
        found = [wait_for(session, run) for run in found]
    _tell(session, found)


@commands.add("retry")
def retry(
    session: Session,
    run: RunName,
    *,
    start_from: Annotated[str | None, Opt("--from", "failed, start, or a stage", "STAGE")] = None,
    input_: Annotated[
        list[str] | None, Opt("--input -i", "an input to change", "NAME=VALUE")
    ] = None,
    on: Annotated[str | None, Opt("--on", "executor to use", "EXECUTOR", "executor")] = None,
    wait: Annotated[bool, Opt("--wait --no-wait", "wait for the end")] = True,
    follow: Annotated[bool, Opt("--follow -f", "show every stage as it goes")] = False,
    timeout: Annotated[
        float | None, Opt("--timeout", "how long to wait", "TIME", parse=duration_s)
    ] = None,
) -> int:
    """Start a new run from this one; stages that had finished are not run again."""
    body: dict[str, Any] = {"start_from": start_from, "executor": on}
    if input_:
        before = session.ask(calls.get(run)).get("input") or {}
        body["input"] = before | read_pairs(input_)
    sent = {name: value for name, value in body.items() if value is not None}
    found = session.ask(calls.retry(run, sent, key=new_key()))
    wait = wait or follow
    if wait:
        found = wait_for(session, found, timeout_s=timeout, follow=follow)
    return report(session, found, result_only=False, waited=wait)


@commands.add("wait")
def wait(
    session: Session,
    runs: RunNames,
    *,
    timeout: Annotated[
        float | None, Opt("--timeout", "how long to wait", "TIME", parse=duration_s)
    ] = None,
    follow: Annotated[bool, Opt("--follow -f", "show every stage as it goes")] = False,
) -> int:
    """Wait for the end of runs; the exit code tells how they ended."""
    found = [
        wait_for(session, session.ask(calls.get(run)), timeout_s=timeout, follow=follow)
        for run in runs
    ]
    _tell(session, found)
    session.screen.flush()
    for run in found:
        tell_error(session, run)
    return max(outcome_code(run) for run in found)


@commands.add("result")
def result(session: Session, run: RunName) -> None:
    """Print the result of a run as JSON."""
    print_result(session, run)


@commands.add("why")
def why(session: Session, run: RunName) -> None:
    """Say why a run is as it is, and what to do."""
    found = session.ask(calls.explain(run))
    if not session.output.for_people:
        session.output.many(found, (), name=lambda row: str(row["code"]))
        return
    for reason in found["items"]:
        session.screen.styled(
            (reason["subject"], "bold"),
            (f"  {reason['message']}", None),
            (f"   [{reason['code']}]", "dim"),
        )
        if reason.get("fix"):
            session.screen.styled(("  fix:  ", "bold"), (reason["fix"], None))


@commands.add("compare")
def compare(
    session: Session,
    one: Annotated[str, Arg("a run", "A", "run")],
    other: Annotated[str, Arg("another run", "B", "run")],
) -> None:
    """Put two runs side by side: state, input, stages, metrics, result."""
    from flowdapt.cli.comparing import COMPARE_COLUMNS, differences

    both = [session.ask(calls.get(ident)) for ident in (one, other)]
    series = [session.ask(calls.metrics(run["uid"]))["items"] for run in both]
    rows = differences(both, series)
    session.output.many(
        {"items": rows, "next": None}, COMPARE_COLUMNS, name=lambda row: str(row["what"])
    )


@commands.add("rm")
def rm(session: Session, runs: RunNames) -> int:
    """Delete runs that have ended: rows, logs and values."""
    return delete_runs(session, runs)


def _tell(session: Session, found: Sequence[Mapping[str, Any]]) -> None:
    """Write one run as itself and several as a list."""
    if len(found) == 1:
        session.output.one(found[0], lambda: session.screen.styled(*headline(found[0])))
    else:
        session.output.many({"items": found, "next": None}, RUN_COLUMNS)
