"""Promise the bytes behind references: what the daemon may do with values without decoding them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence

from flowdapt.domain.task import ValueRef

__all__ = ["ValueStore"]


class ValueStore(ABC):
    """Result files of runs. Workers write them; the daemon only moves, counts and deletes them."""

    @abstractmethod
    async def spill(self, run: str, name: str, value: ValueRef) -> ValueRef:
        """Write an inline or `parts` value to a file of the run (temporary name, rename); same meaning."""

    @abstractmethod
    async def json_text(self, value: ValueRef, *, limit_bytes: int) -> bytes | None:
        """Return the JSON text of a value, parts joined without decoding when they are all JSON.

        None when it is not JSON or longer than the limit. Raise NotFound when its file is gone.
        """

    @abstractmethod
    def iter_json(self, value: ValueRef) -> AsyncIterator[bytes]:
        """Stream the JSON text whatever its size. Raise InvalidInput when the value is not JSON."""

    @abstractmethod
    async def adopt(self, run: str, values: Sequence[ValueRef]) -> list[ValueRef]:
        """Give a run its own hold on files of another, so that each may be deleted alone.

        Links where it can. Values without a file are returned as they are. Raise NotFound.
        """

    @abstractmethod
    async def missing(self, values: Sequence[ValueRef]) -> list[ValueRef]:
        """Return those whose file is not there or has another size."""

    @abstractmethod
    async def damage(self, values: Sequence[ValueRef]) -> list[str]:
        """Say in words what is wrong with the files behind these: gone, cut, or not as written."""

    @abstractmethod
    async def delete_run(self, run: str) -> None:
        """Delete the run's files. Never raises for an unknown run."""

    @abstractmethod
    async def orphans(self, known: Sequence[str], *, older_than_s: float) -> list[str]:
        """Return run directories that belong to none of the known runs and are older."""
