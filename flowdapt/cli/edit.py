"""Commands that change one resource by hand: edit in an editor, or go back to a revision.

What a person wrote is never lost: whatever goes wrong, the text stays in a file that is named.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from flowdapt.cli.apply import report, send, show_diff
from flowdapt.cli.complaint import complain
from flowdapt.cli.grammar import Arg, Commands, Opt
from flowdapt.cli.kinds import kind_of
from flowdapt.cli.session import Session
from flowdapt.cli.sources import Sources
from flowdapt.cli.usage import UsageProblem
from flowdapt.client.endpoints import resources as calls
from flowdapt.domain.errors import FlowdaptError, InvalidInput

commands = Commands()

Kind = Annotated[str, Arg("workflow or config", "KIND", "resource-kind")]
Name = Annotated[str, Arg("its name", "NAME", "name")]


@commands.add("edit")
def edit(session: Session, kind: Kind, name: Name) -> int:
    """Open a resource in $VISUAL or $EDITOR, show what changed, ask, and store it."""
    meant = _resource_kind(kind)
    before = document_text(session.ask(calls.get(meant, name)))
    file = _draft(f"{meant}-{name}", before)
    try:
        done = _edited(session, file, before)
    except FlowdaptError as error:
        if file.read_text(encoding="utf-8") == before:
            file.unlink()
        else:
            _keep(session, file)
        raise error from None
    if done:
        file.unlink()
    else:
        _keep(session, file)
    return 0 if done else 1


def document_text(found: Mapping[str, Any]) -> str:
    """Return a resource as a document; its revision is the precondition of storing it again."""
    from flowdapt.domain.yaml_writing import to_yaml

    metadata = found["metadata"]
    shown = {
        key: metadata[key]
        for key in ("name", "annotations", "uid", "revision")
        if metadata.get(key)
    }
    return to_yaml({"kind": found["kind"], "metadata": shown, "spec": found["spec"]})


def _draft(name: str, text: str) -> Path:
    handle, path = tempfile.mkstemp(prefix=f"flowdapt-{name}-", suffix=".yaml")
    with os.fdopen(handle, "w", encoding="utf-8") as draft:
        draft.write(text)
    return Path(path)


def _edited(session: Session, file: Path, before: str) -> bool:
    """Say whether all is done: stored, or nothing was to be stored."""
    while True:
        _open_editor(file)
        if file.read_text(encoding="utf-8") == before:
            session.screen.note("nothing was changed", "dim")
            return True
        sources = Sources(((str(file), file.read_bytes()),))
        try:
            (planned,) = send(session, sources, dry_run=True)
        except InvalidInput as error:
            if not session.asks or session.common.yes:
                raise
            complain(session.screen, error)
            if not session.confirm("edit again?"):
                return False
        except ValueError:
            raise UsageProblem(
                "the file must hold one document", fix="edit one resource at a time"
            ) from None
        else:
            return _stored(session, sources, planned)


def _stored(session: Session, sources: Sources, planned: Mapping[str, Any]) -> bool:
    show_diff(session, planned["diff"])
    session.screen.flush()
    if planned["action"] == "unchanged":
        session.screen.note("it means the same as before", "dim")
        return True
    if not session.confirm("store this?"):
        return False
    report(session, send(session, sources, dry_run=False), dry_run=False)
    return True


def _open_editor(file: Path) -> None:
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        done = subprocess.run([*shlex.split(editor), str(file)], check=False)  # noqa: S603 - the person's own editor
    except OSError as error:
        raise UsageProblem(
            f"the editor {editor!r} does not start: {error.strerror}", fix="set EDITOR"
        ) from None
    if done.returncode:
        raise UsageProblem(f"the editor {editor!r} ended with {done.returncode}", fix="set EDITOR")


def _keep(session: Session, file: Path) -> None:
    session.screen.complain(("your text is in ", None), (str(file), "bold"))
    session.screen.complain((f"  flowdapt diff -f {file}     flowdapt apply -f {file}", "dim"))


def _resource_kind(word: str) -> str:
    meant = kind_of(word)
    if meant not in calls.PATHS:
        raise UsageProblem(f"a {meant} cannot be edited", fix=f"kinds are {', '.join(calls.PATHS)}")
    return meant


@commands.add("rollback")
def rollback(
    session: Session,
    kind: Kind,
    name: Name,
    *,
    to: Annotated[int, Opt("--to", "the revision to go back to", "REVISION")],
) -> int:
    """Store an earlier revision again, as a new one."""
    meant = _resource_kind(kind)
    old = session.ask(calls.get(meant, name, revision=to))
    kept = {
        key: old["metadata"][key] for key in ("name", "annotations") if old["metadata"].get(key)
    }
    document = {"kind": old["kind"], "metadata": kept, "spec": old["spec"]}
    (planned,) = session.ask(calls.apply([document], dry_run=True))["items"]
    show_diff(session, planned["diff"])
    session.screen.flush()
    if planned["action"] != "unchanged" and session.asks and not session.confirm("store this?"):
        return 1
    report(session, session.ask(calls.apply([document]))["items"], dry_run=False)
    return 0
