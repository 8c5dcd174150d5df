"""Decide what a connection owes the lanes: transactions, and what its failures mean."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowdapt.stores.named import Sql

__all__ = ["Base", "Link", "Row", "Tx", "Verdict"]

Row = Sequence[Any]


class Tx(ABC):
    """One transaction on one connection. Statements are positional.

    `dirty` says whether the present member of the group has written; `after` is called once the
    transaction is committed.
    """

    name: str
    dirty: bool
    after: list[Callable[[], None]]

    @abstractmethod
    def one(self, sql: Sql, params: Row = ()) -> Row | None: ...

    @abstractmethod
    def all(self, sql: Sql, params: Row = ()) -> list[Row]: ...

    @abstractmethod
    def stream(self, sql: Sql, params: Row = ()) -> Iterator[Row]:
        """Yield rows as they are found; nothing may be written meanwhile."""

    @abstractmethod
    def run(self, sql: Sql, params: Row = ()) -> int:
        """Write; return how many rows were touched."""

    @abstractmethod
    def add(self, sql: Sql, params: Row) -> int:
        """Insert one row; return the number that the database gave it."""

    @abstractmethod
    def many(self, sql: Sql, rows: Sequence[Row]) -> None:
        """Write many rows with one statement."""

    @abstractmethod
    def journal(self, rows: Sequence[Row]) -> None:
        """Write events, so that the order of their cursors is the order of the commits."""

    @abstractmethod
    def select(self, text: str, params: Row = ()) -> list[Row]:
        """Run a statement made for this call."""

    @abstractmethod
    def execute(self, text: str, params: Row = ()) -> int: ...

    @abstractmethod
    def now(self) -> int:
        """Return the store's time in microseconds: the clock's, or the database server's."""

    @abstractmethod
    def lock(self, what: str) -> None:
        """Keep other daemons from doing the same until the end of the transaction."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do after a failure: try the group again, or fail; all of it or whoever is guilty."""

    error: Exception
    retry: bool = False
    shared: bool = False
    committed: bool = False


class Link(ABC):
    """One connection that heals itself. Used by one thread at a time."""

    @abstractmethod
    def begin(self, *, durable: bool) -> Tx: ...

    @abstractmethod
    def begin_read(self) -> Tx: ...

    @abstractmethod
    def commit(self) -> None: ...

    @abstractmethod
    def judge(self, error: Exception, attempt: int) -> Verdict:
        """Roll back, repair what can be repaired, and say what to do. Never raises."""

    def begin_quickly(self) -> Tx | None:
        """Begin a transaction that is not durable, or return None when that could take long.

        The loop itself commits it: so it never waits for a lock and never for the disk.
        """
        return None

    @abstractmethod
    def tend(self, *, idle: bool) -> None:
        """Do what can wait until nobody does, and what cannot wait any longer. Never raises."""

    @abstractmethod
    def close(self) -> None: ...


class Base(ABC):
    """The database under a store: how it is opened, and what only it can do. Blocking."""

    url: str

    @abstractmethod
    def open(self) -> Mapping[str, str]:
        """Make the schema current and return the facts of `meta`, with `schema`."""

    @abstractmethod
    def writer(self) -> Link: ...

    @abstractmethod
    def reader(self) -> Link: ...

    @abstractmethod
    def size_bytes(self) -> int: ...

    @abstractmethod
    def backup(self, target: Path) -> int: ...

    @abstractmethod
    def close(self) -> None:
        """Note that the stop was clean, once nothing writes any more."""
