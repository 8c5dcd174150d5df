"""Commands about artifacts: `flowdapt artifact …`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from flowdapt.cli.grammar import Arg, Commands, Opt
from flowdapt.cli.reading import read_bytes
from flowdapt.cli.session import Session
from flowdapt.cli.tables import Column, draw, fields
from flowdapt.cli.usage import UsageProblem
from flowdapt.cli.views import text
from flowdapt.client.endpoints import artifacts as calls
from flowdapt.domain.errors import NotFound
from flowdapt.domain.wording import age, moment, short, size

commands = Commands()

ArtifactName = Annotated[str, Arg("name of the artifact", "NAME", "artifact")]
OneFile = Annotated[str | None, Arg("which of its files; may be left out when it has one", "FILE")]

ARTIFACT_COLUMNS = (
    Column("name", text("name"), keep=True),
    Column("files", text("files"), right=True),
    Column("size", lambda row: size(row.get("size_bytes")), right=True),
    Column("age", lambda row: age(row.get("modified_at")), right=True),
    Column("modified", lambda row: moment(row.get("modified_at")), wide=True),
)
FILE_COLUMNS = (
    Column("file", text("name"), keep=True),
    Column("size", lambda row: size(row.get("size_bytes")), right=True),
    Column("modified", lambda row: moment(row.get("modified_at"))),
)


@commands.add("ls")
def ls(
    session: Session,
    *,
    search: Annotated[str | None, Opt("--search", "part of the name", "TEXT")] = None,
) -> None:
    """List the artifacts of the namespace."""
    session.output.many(session.ask(calls.list_(session.namespace, q=search)), ARTIFACT_COLUMNS)


def list_artifacts(session: Session, names: Sequence[str]) -> None:
    """List artifacts, or tell of those named."""
    if not names:
        ls(session)
    for name in names:
        show_artifact(session, name)


def show_artifact(session: Session, name: str) -> None:
    found = session.ask(calls.files(name, namespace=session.namespace))

    def show() -> None:
        session.screen.styled((found["name"], "bold"), (f"  in {found['namespace']}", "dim"))
        pairs = [(key, short(value, 200)) for key, value in (found.get("metadata") or {}).items()]
        fields(session.screen, pairs, indent="  ")
        session.screen.data()
        draw(session.screen, FILE_COLUMNS, found["files"], wide=False)

    session.output.one(found, show)


@commands.add("get")
def get(
    session: Session,
    name: ArtifactName,
    file: OneFile = None,
    *,
    to: Annotated[
        Path | None, Opt("-O --to", "where to write it; - is stdout", "PATH", "file")
    ] = None,
) -> None:
    """Write a file of an artifact here, or to -O PATH."""
    chosen = _one_file(session, name, file)
    request = calls.get(name, chosen, namespace=session.namespace).request
    if str(to) == "-":
        if sys.stdout.isatty():
            raise UsageProblem(
                "bytes do not go to a terminal", fix="pipe it, or name a file: -O PATH"
            )
        session.download(request, sys.stdout.buffer.write)
        return
    target = to or Path(chosen)
    target = target / chosen if target.is_dir() else target
    count = _save(session, request, target, ask=to is None)
    if count is not None:
        told = f"{target}  {size(count)}"
        found = {"path": str(target), "size_bytes": count}
        session.output.one(found, lambda: session.screen.note(told), name=str(target))


def _save(session: Session, request: Any, target: Path, *, ask: bool) -> int | None:
    """Write the file whole or not at all; never over another without being told to."""
    if ask and target.exists() and not session.confirm(f"{target} exists; replace it?"):
        return None
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with partial.open("xb") as handle:
            count = session.download(request, handle.write)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return count


@commands.add("put")
def put(
    session: Session,
    name: ArtifactName,
    file: Annotated[Path, Arg("the file to store; - is stdin", "FILE", "file")],
    *,
    under: Annotated[str | None, Opt("--as", "its name in the artifact", "FILE")] = None,
) -> None:
    """Store a file in an artifact; the artifact is made when there is none."""
    if str(file) == "-" and under is None:
        raise UsageProblem("what comes from stdin has no name", fix="add --as FILE")
    content = read_bytes(file)
    stored = session.ask(calls.put(name, under or file.name, content, namespace=session.namespace))
    session.output.one(
        stored,
        lambda: session.screen.styled(
            (f"{name}/{under or file.name}", "bold"), (f"  {size(len(content))}", None)
        ),
    )


@commands.add("rm")
def rm(session: Session, name: ArtifactName, file: OneFile = None) -> None:
    """Delete an artifact, or one of its files."""
    session.ask(calls.delete(name, file, namespace=session.namespace))
    session.output.acted("deleted", "artifact", f"{name}/{file}" if file else name)


@commands.add("preview")
def preview(session: Session, name: ArtifactName, file: OneFile = None) -> None:
    """Say what a file holds: its type and its head."""
    chosen = _one_file(session, name, file)
    found = session.ask(calls.preview(name, chosen, namespace=session.namespace))
    session.output.one(found, lambda: _show_preview(session, found), name=chosen)


def _show_preview(session: Session, found: Mapping[str, Any]) -> None:
    about = [("format", str(found.get("format") or "")), ("size", size(found.get("size_bytes")))]
    about += [(name, short(value, 200)) for name, value in (found.get("about") or {}).items()]
    session.screen.styled((found["file"], "bold"))
    fields(session.screen, about, indent="  ")
    if found.get("text"):
        session.screen.data()
        for line in found["text"].splitlines():
            session.screen.data(line)
    if found.get("truncated"):
        session.screen.note("… and more", "dim")


def _one_file(session: Session, name: str, file: str | None) -> str:
    """Return the file that is meant: the named one, or the only one."""
    if file is not None:
        return file
    found = [
        one["name"] for one in session.ask(calls.files(name, namespace=session.namespace))["files"]
    ]
    if len(found) == 1:
        return str(found[0])
    if not found:
        raise NotFound(f"the artifact {name} holds no file", code="artifact.missing")
    raise UsageProblem(f"{name} holds {len(found)} files", fix=f"name one of {', '.join(found)}")
