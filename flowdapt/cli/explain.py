"""The command that says what a document may hold: `flowdapt explain workflow.stages.retry`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from flowdapt.cli.grammar import Arg, Commands
from flowdapt.cli.session import Session
from flowdapt.cli.tables import Column, draw
from flowdapt.cli.views import text

commands = Commands()

FIELD_COLUMNS = (
    Column("field", text("name"), keep=True, style=lambda row: "bold" if row["required"] else None),
    Column("type", text("type"), keep=True),
    Column("default", lambda row: "required" if row["required"] else row["default"] or ""),
    Column("means", text("description"), keep=True),
)


@commands.add("explain")
def explain(
    session: Session,
    path: Annotated[
        str, Arg("a kind, or a field below one: workflow.stages.retry", "KIND[.FIELD]", "kind")
    ],
) -> None:
    """Say what a document may hold: fields, types, defaults. Needs no daemon."""
    from flowdapt.domain.explain import explain as explained

    found = explained(path)
    rows = [asdict(field) for field in found.fields]

    def show() -> None:
        session.screen.styled((path, "bold"), (f"  {found.type}", "dim"))
        for line in found.description.splitlines():
            session.screen.data(f"  {line.strip()}")
        if rows:
            session.screen.data()
            draw(session.screen, FIELD_COLUMNS, rows, wide=session.output.form == "wide")

    session.output.one({**asdict(found), "fields": rows}, show, name=path)
