"""Say what services ask of the executors there are.

For annotations alone: whoever imports it at run time pays for nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from flowdapt.services.dispatch import Dispatcher

__all__ = ["ExecutorPool"]


class ExecutorPool(Protocol):
    """The executors that runs can go to."""

    @property
    def active(self) -> str:
        """Return the executor of runs that name none."""
        ...

    def knows(self, name: str) -> bool:
        """Say whether there is such an executor, as far as is known here. Never blocks."""
        ...

    async def exists(self, name: str) -> bool:
        """Say whether there is such an executor; the store is asked when it is not known here."""
        ...

    def names(self) -> Collection[str]:
        """Return the names that are known here. Never blocks."""
        ...

    def pin(self, name: str) -> Dispatcher:
        """Keep the executor open until `unpin`; return the queue in front of it.

        It may not be open yet: its queue says so. Raise NotFound.
        """
        ...

    def unpin(self, name: str) -> None:
        """Let the executor be closed, as far as this user is concerned."""
        ...

    def load(self) -> Mapping[str, tuple[int, int]]:
        """Return (busy, waiting) tasks by executor."""
        ...

    def figures(self, name: str) -> dict[str, Any]:
        """Return one executor as `status` shows it. Never blocks."""
        ...
