"""Find what texts are made from: statements by name, and what creates the tables. Loads SQLAlchemy."""

from __future__ import annotations

from functools import cache

from sqlalchemy.schema import CreateIndex, CreateTable

from flowdapt.stores import profile_statements, side_statements, statements, trigger_statements
from flowdapt.stores.building import Statement, dialect
from flowdapt.stores.profile_rows import metadata

__all__ = ["creation", "every_statement", "statement", "warm"]


@cache
def every_statement() -> dict[str, Statement]:
    """Return all fixed statements by name, in the order of their writing."""
    return {
        name: value
        for module in (statements, side_statements, trigger_statements, profile_statements)
        for name, value in vars(module).items()
        if isinstance(value, Statement)
    }


def statement(name: str) -> Statement:
    """Return a statement by name; raise KeyError."""
    return every_statement()[name]


def warm(name: str) -> None:
    """Compile every statement for a database, so that the first run does not pay for it."""
    for one in every_statement().values():
        one.text(name)


def creation(name: str) -> list[str]:
    """Return the statements that make the tables and indexes in an empty database."""
    made = []
    for table in metadata.sorted_tables:
        made.append(str(CreateTable(table).compile(dialect=dialect(name))))
        made += [
            str(CreateIndex(index).compile(dialect=dialect(name)))
            for index in sorted(table.indexes, key=lambda index: str(index.name))
        ]
    return made
