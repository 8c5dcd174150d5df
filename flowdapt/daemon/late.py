"""Make what belongs to triggers once the daemon is ready, or when it is first asked for.

Rules, conditions and schedules are a tenth of what a daemon imports, and nothing waits for them at
its start.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from flowdapt.services.deliveries import Deliveries
    from flowdapt.services.lifecycle import Service
    from flowdapt.services.trigger_requests import TriggerRequests
    from flowdapt.services.triggers import Triggers

__all__ = ["LateTriggers", "TriggerParts"]


@dataclass(frozen=True, slots=True)
class TriggerParts:
    """Everything about triggers in one daemon."""

    triggers: Triggers
    requests: TriggerRequests
    deliveries: Deliveries


class LateTriggers:
    """The services of triggers, that may be drained and resumed before they exist."""

    def __init__(self, make: Callable[[], TriggerParts]) -> None:
        self._make = make
        self._making = threading.Lock()
        self._made: TriggerParts | None = None
        self._wanted = trio.Event()
        self._draining = False

    def get(self) -> TriggerParts:
        """Return the parts, made at the first call; in any thread."""
        with self._making:
            if self._made is None:
                made = self._make()
                if self._draining:
                    made.triggers.drain()
                self._made = made
            return self._made

    def begin(self) -> None:
        """Let the services start: the daemon is ready."""
        self._wanted.set()

    async def run_triggers(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Run the trigger service as soon as it may start."""
        await self._run(lambda parts: parts.triggers.run, task_status)

    async def run_deliveries(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Run the deliveries as soon as they may start."""
        await self._run(lambda parts: parts.deliveries.run, task_status)

    async def _run(
        self, choose: Callable[[TriggerParts], Service], task_status: trio.TaskStatus[None]
    ) -> None:
        task_status.started()
        await self._wanted.wait()
        parts = await trio.to_thread.run_sync(self.get)
        await choose(parts)()

    @property
    def counts(self) -> Mapping[str, int]:
        """Return how many rules there are, as far as it is known by now."""
        return {} if self._made is None else self._made.triggers.counts

    def drain(self) -> None:
        """Fire nothing more."""
        self._draining = True
        if self._made is not None:
            self._made.triggers.drain()

    def resume(self) -> None:
        """Take a drain back."""
        self._draining = False
        if self._made is not None:
            self._made.triggers.resume()
