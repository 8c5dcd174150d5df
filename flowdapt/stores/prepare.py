"""Write `prepared.py`: `python -m flowdapt.stores.prepare`, after any change of rows or statements.

A test compares what is committed with what would be written now.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from flowdapt.stores import statements
from flowdapt.stores.dialects import SQLITE
from flowdapt.stores.profile_rows import table
from flowdapt.stores.sources import creation, every_statement

__all__ = ["PREPARED", "module_text"]

PREPARED = Path(__file__).with_name("prepared.py")
# The tables whose lists are put together when they are asked for.
_LISTED = ("run", "task", "item", "event", "fire")
_HEAD = '''\
"""SQLite's texts, compiled ahead. Made by `python -m flowdapt.stores.prepare`: not edited by hand.

The sources are `rows` and the modules named `statements`, which say why each is as it is.
"""

from __future__ import annotations

from collections.abc import Mapping

from flowdapt.stores.named import Sql

# One statement is one line.
# fmt: off
'''


def module_text() -> str:
    """Return the module as it should be."""
    return "\n".join([_HEAD, *_places(), "", *_columns(), "", *_statements(), "", *_creation(), ""])


def _places() -> Iterator[str]:
    yield "# Where a row of `run` holds what is wanted without its record."
    for name in ("UID", "NAME", "STATE", "DEFINITION", "CREATED_AT"):
        yield f"{name} = {getattr(statements, name)}"


def _columns() -> Iterator[str]:
    yield "COLUMNS: Mapping[str, tuple[str, ...]] = {"
    for name in _LISTED:
        columns = ", ".join(json.dumps(column.name) for column in table(name).columns)
        yield f'    "{name}": ({columns}),'
    yield "}"


def _statements() -> Iterator[str]:
    for name, statement in every_statement().items():
        text = statement.text(SQLITE).replace("\n", "")
        yield f"{name} = Sql({json.dumps(name)}, {json.dumps(text)})"


def _creation() -> Iterator[str]:
    yield "CREATION: tuple[str, ...] = ("
    yield from (f"    {json.dumps(text)}," for text in creation(SQLITE))
    yield ")"


if __name__ == "__main__":
    PREPARED.write_text(module_text(), encoding="utf-8")
