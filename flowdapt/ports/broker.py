"""Promise wake-ups between services: hints, never facts. Losing all of them costs latency only.

Bound: a subscriber holds at most `capacity` messages; when it is full the oldest is dropped, since a
newer wake-up says the same. Delivery is at most once per subscriber, in order per publisher, without
repeats for the in-process broker; outside brokers may repeat and reorder.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import trio

__all__ = ["RUN_CANCEL", "RUN_ENDED", "RUN_PROGRESS", "RUN_READY", "Broker", "Message"]

RUN_READY = "run.ready"  # a run is there to be claimed or driven; key: run uid
RUN_CANCEL = "run.cancel"  # cancel_requested_at was set; key: run uid
RUN_PROGRESS = "run.progress"  # something of the run changed; key: run uid
RUN_ENDED = "run.ended"  # the run is terminal; key: run uid; value: the Run, in one process
LOG_LINES = "log.lines"  # new log lines lie in the log store; key: run uid
EVENT_ADDED = "event.added"  # the journal grew; key: event type


@dataclass(frozen=True, slots=True)
class Message:
    """One hint. `value` is a courtesy inside one process: None after a trip through a server."""

    topic: str
    key: str
    value: Any = None


class Broker(ABC):
    """Publishes and subscribes."""

    @abstractmethod
    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Serve until cancelled; ready when a subscription would see a publication."""

    @abstractmethod
    def publish(self, message: Message) -> None:
        """Hand the message over; never blocks, never raises. Call it on the daemon's thread."""

    @abstractmethod
    def subscribe(
        self, *topics: str, key: str | None = None, capacity: int = 10_000
    ) -> AbstractAsyncContextManager[AsyncIterator[Message]]:
        """Yield the messages of these topics (and of this key only) from entering on."""
