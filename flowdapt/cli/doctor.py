"""Commands that look for trouble: doctor says what is wrong and mends what is safe, bundle collects."""

from __future__ import annotations

import io
import json
import platform
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from flowdapt.cli.checkup import Finding, examine
from flowdapt.cli.grammar import Arg, Commands, Opt
from flowdapt.cli.session import Session
from flowdapt.cli.tables import Column
from flowdapt.cli.views import text
from flowdapt.client.endpoints import system
from flowdapt.domain.errors import FlowdaptError
from flowdapt.domain.wording import size

commands = Commands()

_SIGNS = {"ok": ("✔", "good"), "warning": ("▲", "warn"), "problem": ("✖", "bad")}
FINDING_COLUMNS = (Column("check", text("check")), Column("message", text("message")))
_LOG_TAIL = 256 * 1024


@commands.add("doctor")
def doctor(
    session: Session,
    *,
    fix: Annotated[bool, Opt("--fix", "mend what is safe to mend")] = False,
) -> int:
    """Find what is wrong with files, settings and store; works with and without a daemon."""
    session.may_start = False
    found = list(_mended(examine(session)) if fix else examine(session))
    rows = [_plain(one) for one in found]
    if session.output.for_people:
        for one in found:
            _tell(session, one)
    else:
        session.output.many(
            {"items": rows, "next": None}, FINDING_COLUMNS, name=lambda row: row["check"]
        )
    wrong = [one for one in found if one.level != "ok"]
    if wrong and any(one.mend for one in wrong) and not fix:
        session.screen.note("flowdapt doctor --fix  mends what is safe", "dim")
    return int(any(one.level == "problem" for one in found))


def _mended(findings: Iterator[Finding]) -> Iterator[Finding]:
    for one in findings:
        if one.mend is None or one.level == "ok":
            yield one
            continue
        try:
            one.mend()
        except (OSError, FlowdaptError) as error:
            yield Finding(one.check, "problem", f"{one.message}; not mended: {error}", one.fix)
        else:
            yield Finding(one.check, "ok", f"mended: {one.message}")


def _plain(one: Finding) -> dict[str, Any]:
    return {"check": one.check, "level": one.level, "message": one.message, "fix": one.fix}


def _tell(session: Session, one: Finding) -> None:
    sign, style = _SIGNS[one.level]
    session.screen.styled(
        (f"{sign} ", style), (f"{one.check:<13}", "bold"), (f"{one.message}", None)
    )
    if one.fix and one.level != "ok":
        session.screen.styled(("  fix:  ", "bold"), (one.fix, None))


@commands.add("bundle")
def bundle(
    session: Session,
    file: Annotated[Path | None, Arg("where to write it", "FILE", "file")] = None,
) -> None:
    """Collect what a bug report needs: versions, findings, status, the log's end. No values."""
    session.may_start = False
    target = file or Path(f"flowdapt-bundle-{time.strftime('%Y%m%d-%H%M%S')}.tar.gz")
    with tarfile.open(target, "x:gz") as archive:
        for name, content in _contents(session):
            entry = tarfile.TarInfo(f"flowdapt-bundle/{name}")
            entry.size, entry.mtime, entry.mode = len(content), int(time.time()), 0o600
            archive.addfile(entry, io.BytesIO(content))
    session.output.one(
        {"path": str(target), "size_bytes": target.stat().st_size},
        lambda: session.screen.styled(
            (str(target), None), (f"  {size(target.stat().st_size)}", "dim")
        ),
        name=str(target),
    )
    session.screen.note("look through it before you send it: names of yours are in there", "dim")


def _contents(session: Session) -> Iterator[tuple[str, bytes]]:
    yield "versions.json", _json(_versions())
    yield "findings.json", _json([_plain(one) for one in examine(session)])
    for name, call in (("status.json", system.status()), ("plugins.json", system.plugins())):
        try:
            yield name, session.send(call.request).body
        except FlowdaptError as error:
            yield name, _json({"error": error.message})
    log = session.paths.log_file
    if log.is_file():
        with log.open("rb") as handle:
            handle.seek(max(log.stat().st_size - _LOG_TAIL, 0))
            yield "daemon.log", handle.read()


def _versions() -> dict[str, Any]:
    from importlib.metadata import distributions

    installed = {one.metadata["Name"]: one.version for one in distributions()}
    return {
        "python": sys.version,
        "platform": platform.platform(),
        "packages": dict(sorted(installed.items())),
    }


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=2, default=str).encode()
