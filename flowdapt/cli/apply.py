"""Commands that store documents or say what storing them would do: apply, diff, validate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from flowdapt.cli.grammar import Arg, Commands, Opt
from flowdapt.cli.reading import read_pairs
from flowdapt.cli.session import Session
from flowdapt.cli.sources import Files, Recursive, Sources, gather
from flowdapt.cli.usage import UsageProblem
from flowdapt.cli.views import APPLIED_COLUMNS
from flowdapt.client.endpoints import resources as calls
from flowdapt.domain.errors import InvalidInput
from flowdapt.domain.wording import amount

commands = Commands()

_NO_DOCUMENT = "document.none"
MoreFiles = Annotated[list[str] | None, Arg("the same as -f", "FILE", "file")]


@commands.add("apply")
def apply(
    session: Session,
    more: MoreFiles = None,
    *,
    file: Files = None,
    recursive: Recursive = False,
    dry_run: Annotated[bool, Opt("--dry-run", "say what would change, and change nothing")] = False,
    diff: Annotated[bool, Opt("--diff", "show the changes first, and ask")] = False,
    prune: Annotated[bool, Opt("--prune", "delete what matches -l and is in no file")] = False,
    selector: Annotated[
        str | None, Opt("-l --selector", "annotation that --prune goes by", "NAME=VALUE")
    ] = None,
) -> int:
    """Store documents, all or none; what has not changed stays as it is."""
    if prune and not selector:
        raise UsageProblem("--prune needs to know what is yours", fix="add -l NAME=VALUE")
    sources = gather([*(file or []), *(more or [])], recursive=recursive)
    if diff and not _agreed(session, sources, dry_run=dry_run):
        return 1
    applied = send(session, sources, dry_run=dry_run)
    if prune and selector:
        applied += _pruned(session, applied, selector, dry_run=dry_run)
    report(session, applied, dry_run=dry_run)
    return 0


@commands.add("diff")
def diff(
    session: Session, more: MoreFiles = None, *, file: Files = None, recursive: Recursive = False
) -> int:
    """Show what apply would change; the exit code is 1 when it would change something."""
    sources = gather([*(file or []), *(more or [])], recursive=recursive)
    applied = send(session, sources, dry_run=True)
    if session.output.for_people:
        for one in applied:
            show_diff(session, one["diff"])
    else:
        report(session, applied, dry_run=True)
    return int(any(one["action"] != "unchanged" for one in applied))


@commands.add("validate")
def validate(
    session: Session, more: MoreFiles = None, *, file: Files = None, recursive: Recursive = False
) -> None:
    """Check documents without storing them; needs no daemon."""
    from flowdapt.domain.documents import read
    from flowdapt.domain.validation import check_all, invalid

    sources = gather([*(file or []), *(more or [])], recursive=recursive)
    documents, problems = [], []
    for name, content in sources.texts:
        found, wrong = read(content, source=name)
        documents += found
        problems += wrong
    if not documents and not problems:
        raise _no_document(sources)
    checked = check_all(documents)
    error = invalid(checked, problems)
    if error is not None:
        raise error
    for warning in (warning for one in checked for warning in one.warnings):
        session.screen.note(f"▲ {warning}", "warn")
    if session.output.for_people:
        words = f"✔ {amount(len(checked), 'document')} in {sources.names}"
        session.screen.note(words, "good")
        return
    valid = [one.resource for one in checked if one.resource is not None]
    items = [{"kind": one.kind, "name": one.metadata.name} for one in valid]
    session.output.many({"items": items, "next": None}, ())


def send(session: Session, sources: Sources, *, dry_run: bool) -> list[dict[str, Any]]:
    """Apply the documents of the files; problems are told at their place in a file."""
    try:
        found = session.ask(calls.apply(sources.joined, dry_run=dry_run))
    except InvalidInput as error:
        if error.exact_code == _NO_DOCUMENT:
            raise _no_document(sources) from None
        raise sources.located(error) from None
    items: list[dict[str, Any]] = found["items"]
    return items


def _no_document(sources: Sources) -> InvalidInput:
    return InvalidInput(
        f"{sources.names} holds no document",
        code=_NO_DOCUMENT,
        fix="flowdapt explain workflow  says what one may hold",
    )


def report(session: Session, applied: Sequence[Mapping[str, Any]], *, dry_run: bool) -> None:
    session.output.many(
        {"items": applied, "next": None},
        APPLIED_COLUMNS,
        name=lambda row: f"{row['kind']}/{row['name']}",
    )
    for one in applied:
        _tell_more(session, one)
    if dry_run:
        session.screen.note("nothing was changed (dry run)", "dim")


def _tell_more(session: Session, one: Mapping[str, Any]) -> None:
    """Tell what is doubtful of a document, and when a new or changed rule of time will fire."""
    if one.get("outlook") and one["action"] in {"created", "updated"}:
        from flowdapt.cli.trigger_page import outlook_lines

        first, *rest = outlook_lines(one["outlook"])
        for line in (f"{one['name']}  {first}", *rest):
            session.screen.note(line, "dim" if line.startswith(" ") else None)
    for warning in one.get("warnings") or ():
        session.screen.note(f"▲ {warning}", "warn")


def show_diff(session: Session, diff: str) -> None:
    """Write a diff: data for people, beside the data where a program reads them."""
    write = session.screen.styled if session.output.for_people else session.screen.told
    for line in diff.splitlines():
        write((line, {"+": "good", "-": "bad", "@": "dim"}.get(line[:1])))


def _agreed(session: Session, sources: Sources, *, dry_run: bool) -> bool:
    """Show the changes; ask where there is somebody to ask and something would be stored."""
    applied = send(session, sources, dry_run=True)
    for one in applied:
        show_diff(session, one["diff"])
    session.screen.flush()
    changed = sum(one["action"] != "unchanged" for one in applied)
    if not changed or dry_run or not session.asks:
        return True
    return session.confirm(f"apply {amount(changed, 'change')}?")


def _pruned(
    session: Session, applied: Sequence[Mapping[str, Any]], selector: str, *, dry_run: bool
) -> list[dict[str, Any]]:
    """Delete the resources of the selector that no file holds."""
    kept = {(one["kind"], one["name"]) for one in applied}
    gone = [one for one in _selected(session, selector) if one not in kept]
    names = ", ".join(f"{kind} {name}" for kind, name in gone)
    if not gone or (not dry_run and not session.confirm(f"delete {names}?")):
        return []
    if dry_run:
        return [
            {"action": "deleted", "kind": kind, "name": name, "revision": 0} for kind, name in gone
        ]
    return [session.ask(calls.delete(kind, name)) for kind, name in gone]


def _selected(session: Session, selector: str) -> Iterator[tuple[str, str]]:
    read_pairs([selector], "-l")
    for kind in ("workflow", "config"):
        cursor = None
        while True:
            page = session.ask(calls.list_(kind, annotation=[selector], cursor=cursor))
            yield from ((kind, one["metadata"]["name"]) for one in page["items"])
            cursor = page.get("next")
            if cursor is None:
                break
