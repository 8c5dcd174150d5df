"""Decide how an answer is written in each form of `-o`: one valid document, or a table for people."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from flowdapt.cli.screen import Screen
from flowdapt.cli.tables import Column, Row, draw
from flowdapt.cli.usage import UsageProblem

__all__ = ["Output", "json_text", "yaml_text"]

_DELETE = re.compile("\x7f")


def json_text(value: Any, *, compact: bool = False) -> str:
    r"""Return JSON whose text no terminal obeys: everything but printable ASCII is `\u…`."""
    indent = None if compact else 2
    return _DELETE.sub(r"\\u007f", json.dumps(value, indent=indent, ensure_ascii=True))


def yaml_text(value: Any) -> str:
    from flowdapt.domain.yaml_writing import to_yaml

    return to_yaml(value)


class Output:
    """Writes answers in the form that was asked for."""

    def __init__(self, screen: Screen, form: str | None) -> None:
        self.screen, self.form = screen, form or "table"

    @property
    def for_people(self) -> bool:
        return self.form in {"table", "wide"}

    def one(self, value: Any, show: Callable[[], None], *, name: str | None = None) -> None:
        """Write one thing; `show` draws it for people."""
        if self.for_people:
            show()
        elif self.form == "name":
            self.screen.data(
                name or str(value.get("name", "") if isinstance(value, Mapping) else value)
            )
        else:
            self._document(value)

    def many(
        self,
        found: Mapping[str, Any],
        columns: Sequence[Column],
        *,
        name: Callable[[Row], str] = lambda row: str(row.get("name", "")),
    ) -> None:
        """Write a list: `{"items": […], "next": …}`."""
        rows = found["items"]
        if self.for_people:
            draw(self.screen, columns, rows, wide=self.form == "wide")
        elif self.form == "name":
            self._lines(name(row) for row in rows)
        elif self.form == "jsonl":
            self._lines(json_text(row, compact=True) for row in rows)
        else:
            self._document({"items": rows, "next": found.get("next")})

    def acted(self, action: str, kind: str, *names: str) -> None:
        """Tell what was done to things: a word each for people, a list for programs."""
        items = [{"action": action, "kind": kind, "name": name} for name in names]
        if self.for_people:
            for one in items:
                self.screen.note(f"{action} {kind} {one['name']}".rstrip())
        else:
            self.many({"items": items, "next": None}, ())

    def refuse_one_document(self, option: str) -> None:
        """Refuse `-o json` where the output has no end: it could never be one document."""
        if self.form == "json":
            raise UsageProblem(f"-o json is one document, and {option} has no end", fix="-o jsonl")

    def event(self, value: Any, show: Callable[[], None]) -> None:
        """Write one of a stream of things as it comes: a line of JSON, or as people read it."""
        if self.for_people:
            show()
        elif self.form == "yaml":
            self.screen.ready("---\n" + yaml_text(value))
        else:
            self.screen.ready(json_text(value, compact=True) + "\n")
        self.screen.flush()

    def _lines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.screen.data(line)

    def _document(self, value: Any) -> None:
        if self.form == "yaml":
            self.screen.ready(yaml_text(value))
        else:
            self.screen.ready(json_text(value, compact=self.form == "jsonl") + "\n")
