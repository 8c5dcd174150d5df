"""The command that says what a document may hold: `flowdapt explain workflow.stages.retry`."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

from flowdapt.cli.grammar import Arg, Commands
from flowdapt.cli.session import Session

commands = Commands()


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
    fields = [asdict(field) for field in found.fields]

    def show() -> None:
        session.screen.styled((path, "bold"), (f"  {found.type}", "dim"))
        _say(session, found.description, "  ")
        for field in fields:
            _show_field(session, field)

    session.output.one({**asdict(found), "fields": fields}, show, name=path)


def _show_field(session: Session, field: Mapping[str, Any]) -> None:
    value = (
        "  required" if field["required"] else f" = {field['default']}" if field["default"] else ""
    )
    session.screen.data()
    session.screen.styled(
        (f"  {field['name']}", "bold"), (f"  {field['type']}", None), (value, "dim")
    )
    _say(session, field["description"], "      ")


def _say(session: Session, words: str, indent: str) -> None:
    width = (session.screen.width or 100) - 1
    for line in textwrap.wrap(
        " ".join(words.split()), width, initial_indent=indent, subsequent_indent=indent
    ):
        session.screen.data(line)
