"""The broker inside one process: wake-ups over bounded queues, the oldest dropped when one is full."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from flowdapt.ports.broker import Broker, Message

__all__ = ["InProcessBroker"]


class _Subscription:
    """One subscriber's queue; an async iterator of messages."""

    def __init__(self, capacity: int) -> None:
        self.dropped = 0
        self._messages: deque[Message] = deque()
        self._capacity = capacity
        self._lot = trio.lowlevel.ParkingLot()

    def put(self, message: Message) -> None:
        if len(self._messages) >= self._capacity:
            # A newer wake-up says the same or more; the poll finds what was dropped.
            self._messages.popleft()
            self.dropped += 1
        self._messages.append(message)
        self._lot.unpark()

    def __aiter__(self) -> _Subscription:
        return self

    async def __anext__(self) -> Message:
        while not self._messages:
            await self._lot.park()
        return self._messages.popleft()


class InProcessBroker(Broker):
    """Publishes to the subscribers of a topic, and to those of one key of it."""

    def __init__(self) -> None:
        self._subscribers: dict[tuple[str, str | None], list[_Subscription]] = {}

    async def run(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until cancelled: there is nothing to serve."""
        task_status.started()
        await trio.sleep_forever()

    def publish(self, message: Message) -> None:
        """Hand the message to every matching subscriber; never blocks."""
        subscribers = self._subscribers
        for subscription in subscribers.get((message.topic, None), ()):
            subscription.put(message)
        for subscription in subscribers.get((message.topic, message.key), ()):
            subscription.put(message)

    @asynccontextmanager
    async def subscribe(
        self, *topics: str, key: str | None = None, capacity: int = 10_000
    ) -> AsyncIterator[AsyncIterator[Message]]:
        """Yield what is published from here on; see `Broker.subscribe`."""
        subscription = _Subscription(capacity)
        places = [(topic, key) for topic in topics]
        for place in places:
            self._subscribers.setdefault(place, []).append(subscription)
        try:
            yield subscription
        finally:
            for place in places:
                self._subscribers[place].remove(subscription)
                if not self._subscribers[place]:
                    del self._subscribers[place]
