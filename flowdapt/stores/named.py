"""Give a statement by its name its text: SQLite's was prepared, others are compiled when first used.

So a daemon on SQLite never loads SQLAlchemy. The handles themselves are in `prepared`.
"""

from __future__ import annotations

from flowdapt.stores.dialects import SQLITE

__all__ = ["Sql"]


class Sql:
    """One statement about the rows, whatever the database."""

    __slots__ = ("_texts", "name")

    def __init__(self, name: str, sqlite: str) -> None:
        self.name = name
        self._texts = {SQLITE: sqlite}

    def text(self, dialect: str) -> str:
        """Return the text for a database; compiled at the first call unless it was prepared."""
        found = self._texts.get(dialect)
        if found is None:
            from flowdapt.stores.sources import statement

            found = self._texts[dialect] = statement(self.name).text(dialect)
        return found
