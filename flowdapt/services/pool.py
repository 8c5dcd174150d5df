"""Say what services ask of the executors there are, and be that for executors which somebody else runs.

A daemon has `Executors`, which opens what is needed; tests and embedded runs have theirs running.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Protocol

from flowdapt.domain.errors import NotFound
from flowdapt.services.dispatch import Dispatcher

if TYPE_CHECKING:
    from flowdapt.ports.executor import Executor

__all__ = ["ExecutorPool", "GivenExecutors", "no_executor"]


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


def no_executor(name: str, known: Collection[str] = ()) -> NotFound:
    """Return the refusal of a name that no executor has, with the known one that is near it."""
    near = get_close_matches(name[:128], known, 1)
    return NotFound(
        f"there is no executor {name[:128]!r}",
        code="executor.not_found",
        fix=f"did you mean {near[0]!r}?" if near else "flowdapt executor ls",
    )


class GivenExecutors:
    """Executors that are open as long as they are needed; the first is the active one."""

    def __init__(self, executors: Mapping[str, Executor]) -> None:
        self._dispatchers = {name: Dispatcher(executor) for name, executor in executors.items()}

    @property
    def active(self) -> str:
        return next(iter(self._dispatchers))

    def knows(self, name: str) -> bool:
        return name in self._dispatchers

    async def exists(self, name: str) -> bool:
        return name in self._dispatchers

    def names(self) -> Collection[str]:
        return self._dispatchers.keys()

    def pin(self, name: str) -> Dispatcher:
        if name not in self._dispatchers:
            raise no_executor(name, self.names())
        return self._dispatchers[name]

    def unpin(self, name: str) -> None:
        """Do nothing: whoever gave the executors closes them."""

    def load(self) -> Mapping[str, tuple[int, int]]:
        return {name: (d.busy, d.waiting) for name, d in self._dispatchers.items()}

    def figures(self, name: str) -> dict[str, Any]:
        dispatcher = self.pin(name)
        return figures(name, dispatcher.executor.kind, "ready", dispatcher, active=True)


def figures(
    name: str, kind: str, state: str, dispatcher: Dispatcher, *, active: bool
) -> dict[str, Any]:
    """Return what a queue and its executor tell of themselves."""
    capacity = dispatcher.executor.capacity()
    return {
        "name": name,
        "kind": kind,
        "state": state,
        "slots": capacity.slots,
        "busy": dispatcher.busy,
        "waiting": dispatcher.waiting,
        "cpus": capacity.cpus,
        "gpus": capacity.gpus,
        "memory_bytes": capacity.memory_bytes,
        "resources": dict(capacity.custom),
        "active": active,
    }
