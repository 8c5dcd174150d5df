"""Decide what every table has in common: types, names of constraints, how a table is found by name."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TextClause,
    text,
)
from sqlmodel import SQLModel

from flowdapt.stores.conditions import one_of

__all__ = ["KEY", "NUMBER", "Row", "check", "index", "metadata", "table"]

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

# Names and prefixes are compared by code point on every database, whatever its locale.
KEY = Text().with_variant(Text(collation="C"), "postgresql")
NUMBER = BigInteger().with_variant(Integer(), "sqlite")


class Row(SQLModel):
    """The base of all tables."""

    metadata = metadata


def check(name: str, column: str, words: list[str]) -> CheckConstraint:
    """Return the constraint that a column holds one of the words."""
    return CheckConstraint(one_of(column, words), name=name)


def index(
    name: str, *columns: str | TextClause, where: str | None = None, unique: bool = False
) -> Index:
    """Return an index, over the rows that a condition holds for."""
    condition = None if where is None else text(where)
    return Index(name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def table(name: str) -> Table:
    """Return a table by name, once the module that declares it is imported; raise KeyError."""
    return metadata.tables[name]
