"""Be the executors of tests and embedded runs, which somebody else opens and closes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from flowdapt.services.dispatch import Dispatcher
from flowdapt.services.profiles import no_executor

if TYPE_CHECKING:
    from flowdapt.ports.executor import Executor

__all__ = ["GivenExecutors"]


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
        about = {"name": name, "kind": dispatcher.executor.kind, "state": "ready"}
        return about | dispatcher.figures() | {"active": name == self.active}
