"""Commands about things of any kind: get, describe, delete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any

from flowdapt.cli.artifact import list_artifacts, show_artifact
from flowdapt.cli.grammar import Arg, Commands, Opt
from flowdapt.cli.kinds import kind_of
from flowdapt.cli.lists import LISTS
from flowdapt.cli.reading import count, moment_ago, read_pairs
from flowdapt.cli.resource_page import show_resource
from flowdapt.cli.run_lists import delete_runs, list_runs
from flowdapt.cli.run_page import show_run
from flowdapt.cli.session import Session
from flowdapt.cli.sources import Files, Recursive, gather
from flowdapt.cli.tables import Column, draw
from flowdapt.cli.usage import UsageProblem
from flowdapt.cli.views import APPLIED_COLUMNS, RESOURCE_COLUMNS, RUN_COLUMNS
from flowdapt.client.endpoints import artifacts as artifact_calls
from flowdapt.client.endpoints import resources as calls
from flowdapt.client.endpoints import runs as run_calls
from flowdapt.domain.errors import NotFound

commands = Commands()

Kind = Annotated[str, Arg("workflow, config, run, artifact, …, singular or plural", "KIND", "kind")]
_RUN_FILTERS = ("state", "workflow", "namespace", "since", "until", "q", "parent", "trigger")


@commands.add("get")
def get(
    session: Session,
    kind: Kind,
    names: Annotated[list[str] | None, Arg("only these", "NAME", "name")] = None,
    *,
    selector: Annotated[
        list[str] | None, Opt("-l --selector", "annotation or label; all must match", "NAME=VALUE")
    ] = None,
    where: Annotated[
        list[str] | None, Opt("--where", "field to match: state=failed, since=2d", "FIELD=VALUE")
    ] = None,
    sort: Annotated[str | None, Opt("--sort", "field to sort by; - reverses", "FIELD")] = None,
    limit: Annotated[int, Opt("--limit", "at most so many", "N", parse=count)] = 50,
    watch: Annotated[bool, Opt("-w --watch", "go on and print what changes")] = False,
) -> None:
    """List things of a kind, or print some by name."""
    meant = kind_of(kind)
    if meant in LISTS:
        session.output.many(session.ask(LISTS[meant].call()), LISTS[meant].columns)
        return
    if meant == "artifact":
        list_artifacts(session, names or [])
        return
    if watch:
        session.output.refuse_one_document("-w")
    conditions = {name: str(value) for name, value in read_pairs(where or [], "--where").items()}
    columns: Sequence[Column]
    if meant == "run":
        found, columns = (
            _runs(session, names or [], conditions, selector or [], sort, limit),
            RUN_COLUMNS,
        )
    else:
        found = _resources(session, meant, names or [], conditions, selector or [], sort)
        columns = RESOURCE_COLUMNS
    if len(names or []) == 1 and not session.output.for_people:
        session.output.one(found["items"][0], lambda: None, name=(names or [""])[0])
    else:
        session.output.many(found, columns, name=_name)
    if watch:
        _watch(session, meant, columns)


def _name(row: Mapping[str, Any]) -> str:
    return str(row.get("metadata", row)["name"])


def _runs(
    session: Session,
    names: Sequence[str],
    conditions: Mapping[str, str],
    labels: Sequence[str],
    sort: str | None,
    limit: int,
) -> dict[str, Any]:
    if names:
        return {"items": [session.ask(run_calls.get(name)) for name in names], "next": None}
    unknown = [name for name in conditions if name not in _RUN_FILTERS]
    if unknown:
        raise UsageProblem(
            f"runs are not found by {unknown[0]!r}", fix=f"--where takes {', '.join(_RUN_FILTERS)}"
        )
    filters: dict[str, Any] = dict(conditions)
    for name in {"since", "until"} & set(filters):
        filters[name] = moment_ago(filters[name])
    filters["state"] = filters["state"].split(",") if "state" in filters else []
    return list_runs(session, limit=limit, every=False, label=labels, sort=sort, **filters)


def _resources(
    session: Session,
    kind: str,
    names: Sequence[str],
    conditions: Mapping[str, str],
    annotations: Sequence[str],
    sort: str | None,
) -> dict[str, Any]:
    read_pairs(annotations, "-l")
    if names:
        items = [session.ask(calls.get(kind, name)) for name in names]
    else:
        items = every_resource(session, kind, annotations)
    items = [one for one in items if all(_at(one, k) == v for k, v in conditions.items())]
    if sort:
        if items and not any(_at(one, sort.lstrip("-")) for one in items):
            raise UsageProblem(
                f"no {kind} has {sort.lstrip('-')!r} to be sorted by",
                fix="sort by a field of the metadata such as updated_at, or by a path such as spec.timeout",
            )
        items.sort(key=lambda one: _at(one, sort.lstrip("-")), reverse=sort.startswith("-"))
    return {"items": items, "next": None}


def every_resource(session: Session, kind: str, annotations: Sequence[str] = ()) -> list[Any]:
    """Return all resources of a kind, page after page."""
    items: list[Any] = []
    cursor = None
    while True:
        page = session.ask(calls.list_(kind, annotation=annotations, cursor=cursor))
        items += page["items"]
        cursor = page.get("next")
        if cursor is None:
            return items


def _at(resource: Any, path: str) -> str:
    """Return the text at a dotted path; a bare name is looked for in the metadata first."""
    if "." not in path:
        path = f"metadata.{path}"
    for step in path.split("."):
        resource = resource.get(step) if isinstance(resource, dict) else None
    return "" if resource is None else str(resource)


def _watch(session: Session, kind: str, columns: Sequence[Column]) -> None:
    """Print each thing of the kind again when it changes, until Ctrl-C."""
    from flowdapt.client.endpoints import system

    for _, event in session.follow(system.watch_events(), ended=lambda _: False):
        changed = _changed(session, kind, event)
        if changed is not None:
            session.output.event(
                changed, partial(draw, session.screen, columns, [changed], wide=False)
            )


def _changed(session: Session, kind: str, event: Mapping[str, Any]) -> Any | None:
    try:
        if kind == "run":
            return session.ask(run_calls.get(event["run"])) if event.get("run") else None
        data = event.get("data") or {}
        return session.ask(calls.get(kind, data["name"])) if data.get("kind") == kind else None
    except NotFound:
        return None


@commands.add("describe")
def describe(
    session: Session, kind: Kind, name: Annotated[str, Arg("its name", "NAME", "name")]
) -> None:
    """Tell everything about one thing."""
    meant = kind_of(kind)
    if meant == "run":
        run = session.ask(run_calls.get(name))
        session.output.one(run, lambda: show_run(session, run))
    elif meant == "artifact":
        show_artifact(session, name)
    elif meant in calls.PATHS:
        found = session.ask(calls.get(meant, name))
        session.output.one(found, lambda: show_resource(session, meant, found), name=name)
    else:
        raise UsageProblem(f"a {meant} has nothing more to tell", fix=f"flowdapt get {meant}s")


@commands.add("delete")
def delete(
    session: Session,
    kind: Annotated[str | None, Arg("workflow, config, run, artifact", "KIND", "kind")] = None,
    names: Annotated[list[str] | None, Arg("their names", "NAME", "name")] = None,
    *,
    file: Files = None,
    recursive: Recursive = False,
) -> int:
    """Delete things by name, or the resources that files hold."""
    if file:
        _delete_those_of_files(session, file, recursive)
        return 0
    if kind is None or not names:
        raise UsageProblem("what is to be deleted?", fix="flowdapt delete KIND NAME, or -f FILE")
    meant = kind_of(kind)
    if meant == "run":
        return delete_runs(session, names)
    for name in names:
        if meant == "artifact":
            session.ask(artifact_calls.delete(name, namespace=session.namespace))
        else:
            session.ask(calls.delete(meant, name))
    session.output.acted("deleted", meant, *names)
    return 0


def _delete_those_of_files(session: Session, files: Sequence[str], recursive: bool) -> None:
    from flowdapt.domain.documents import read
    from flowdapt.domain.validation import check_all, invalid

    documents, problems = [], []
    for name, content in gather(files, recursive=recursive).texts:
        found, wrong = read(content, source=name)
        documents += found
        problems += wrong
    checked = check_all(documents)
    error = invalid(checked, problems)
    if error is not None:
        raise error
    held = [one.resource for one in checked if one.resource is not None]
    items = [{"kind": str(one.kind), "name": one.metadata.name} for one in held]
    for one in items:
        one["action"] = (
            "deleted" if _deleted(session, one["kind"], one["name"]) else "was not there"
        )
    session.output.many({"items": items, "next": None}, APPLIED_COLUMNS)


def _deleted(session: Session, kind: str, name: str) -> bool:
    try:
        session.ask(calls.delete(kind, name))
    except NotFound:
        return False
    return True


commands.by_name["inspect"] = commands.by_name["describe"]
