"""Put the text of a list together: what is wanted, condition by condition, in which order.

Lists have too many shapes to be compiled ahead, and few words that databases write differently.
"""

from __future__ import annotations

from typing import Any

from flowdapt.stores.dialects import SQLITE
from flowdapt.stores.links import Row, Tx

__all__ = ["Question"]


class Question:
    """One question for rows; `?` stands for a value on every database.

    Values never become part of the text, so that a question of a known shape is prepared once.
    """

    def __init__(self, columns: str, source: str) -> None:
        self._what = f"SELECT {columns} FROM {source}"  # noqa: S608 - names of our own tables
        self._conditions: list[str] = []
        self._values: list[Any] = []

    def where(self, condition: str, *values: Any) -> None:
        """Add a condition that has to hold as well."""
        self._conditions.append(condition)
        self._values += values

    def either(self, condition: str, values: list[Any]) -> None:
        """Ask that a condition holds for one of the values, if there are any."""
        if values:
            self.where(f"({' OR '.join([condition] * len(values))})", *values)

    def written(self, dialect: str, order: str, size: int) -> tuple[str, tuple[Any, ...]]:
        """Return the text for a database and its values in order."""
        conditions = f" WHERE {' AND '.join(self._conditions)}" if self._conditions else ""
        text = f"{self._what}{conditions} ORDER BY {order} LIMIT ?"
        marked = text if dialect == SQLITE else text.replace("?", "%s")
        return marked, (*self._values, size)

    def ask(self, tx: Tx, order: str, size: int) -> list[Row]:
        """Return so many rows at most."""
        return tx.select(*self.written(tx.name, order, size))
