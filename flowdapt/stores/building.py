"""Turn SQLAlchemy Core statements into text for a driver, once per database.

The text runs on the driver's own connection: the speed of hand-written SQL from one source for
every database. Parameters are positional.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, cast

from sqlalchemy import ClauseElement, Table, bindparam, insert, literal_column
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Dialect

from flowdapt.stores.dialects import SQLITE

__all__ = [
    "Statement",
    "all_but",
    "dialect",
    "equals",
    "insert_maker",
    "insert_row",
    "upsert",
    "values_of",
]


@cache
def dialect(name: str) -> Dialect:
    """Return the dialect with the driver's positional parameters."""
    if name == SQLITE:
        return sqlite.dialect(paramstyle="qmark")
    from sqlalchemy.dialects.postgresql import psycopg

    made: Any = psycopg.dialect
    return cast(Dialect, made(paramstyle="format"))


def insert_maker(name: str) -> Any:
    """Return the database's own `insert`, which knows ON CONFLICT; its dialect loads on use."""
    if name == SQLITE:
        return sqlite.insert
    from sqlalchemy.dialects import postgresql

    return postgresql.insert


def _compile_text(statement: ClauseElement, name: str) -> tuple[str, list[str]]:
    """Return the text for a database and the names of its parameters in order.

    Constants are written into the text: planners then see that a partial index serves.
    """
    compiled: Any = statement.compile(dialect=dialect(name))
    mark = "?" if name == SQLITE else "%s"
    pieces = str(compiled).split(mark)
    order = list(compiled.positiontup or ())
    written, names = pieces[0], []
    for key, piece in zip(order, pieces[1:], strict=True):
        bound = compiled.binds[key]
        if bound.required:
            names.append(key)
        written += (mark if bound.required else _constant(bound.effective_value)) + piece
    return written, names


def _constant(value: str | int | None) -> str:
    if value is None:
        return "NULL"
    return str(int(value)) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


class Statement:
    """One statement. `make` gets the database's name where databases need different words."""

    __slots__ = ("_make", "_texts", "order")

    def __init__(self, make: Callable[[str], ClauseElement], *order: str) -> None:
        self._make = make
        self._texts: dict[str, str] = {}
        self.order = order

    def text(self, name: str) -> str:
        """Return the text for a database; compiled at the first call."""
        found = self._texts.get(name)
        if found is None:
            found, order = _compile_text(self._make(name), name)
            if self.order and tuple(order) != self.order:
                raise AssertionError(f"parameters are {order}, not {self.order}: {found}")
            self._texts[name] = found
        return found


def all_but(source: Table, *left_out: str) -> list[str]:
    return [c.name for c in source.columns if c.name not in left_out]


def insert_row(target: Table, *left_out: str) -> Callable[[str], ClauseElement]:
    names = all_but(target, *left_out)
    return lambda _: insert(target).values({name: bindparam(name) for name in names})


def upsert(target: Table) -> Callable[[str], ClauseElement]:
    """Insert, or write every other column of the row with the same primary key."""
    keys = [c.name for c in target.primary_key.columns]

    def make(name: str) -> ClauseElement:
        maker = insert_maker(name)
        adding = maker(target).values({c.name: bindparam(c.name) for c in target.columns})
        fresh = {n: adding.excluded[n] for n in all_but(target, *keys)}
        made: ClauseElement = adding.on_conflict_do_update(index_elements=keys, set_=fresh)
        return made

    return make


def equals(column: str) -> Any:
    """Compare with a parameter named so that it never meets a column's own."""
    return literal_column(column) == bindparam(f"is_{column.replace('.', '_')}")


def values_of(source: Table, *names: str) -> dict[str, Any]:
    """Return the values of an update: SET renders its columns in the table's order."""
    return {c.name: bindparam(c.name) for c in source.columns if c.name in names}
