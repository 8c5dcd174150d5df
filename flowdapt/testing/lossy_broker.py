"""A broker with a bad server behind it, in memory: it loses, doubles, reorders, delays, goes down and forgets.

What a service does with it shows whether it takes hints for hints, and rows for the truth.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import trio

from flowdapt.domain.errors import BrokerUnavailable
from flowdapt.domain.events import Event, EventDraft
from flowdapt.ports.broker import BROKER_STATE, Broker, BrokerState, Incoming, Message

__all__ = ["Badness", "LossyBroker"]


@dataclass(frozen=True, slots=True)
class Badness:
    """How bad the server is: shares of messages between 0 and 1, the longest delay in seconds."""

    drop: float = 0.3
    double: float = 0.3
    delay_s: float = 0.0


class LossyBroker(Broker):
    """An outside broker as far as services can tell; `inner` carries hints within the process.

    `stream` is what the server has of the events relayed; `send` adds what other systems send. Ends
    with the block it runs in; every chance comes from `seed`.
    """

    carries_events: ClassVar[bool] = True

    def __init__(self, inner: Broker, badness: Badness | None = None, *, seed: int = 0) -> None:
        self.stream: list[Event] = []
        self.acknowledged: list[str] = []
        self._inner = inner
        self._badness = badness or Badness()
        self._chance = random.Random(seed)  # noqa: S311 (a test's dice)
        self._state = BrokerState(connected=True)
        self._pending: list[EventDraft] = []
        self._arrived = trio.Event()
        self._delayed: list[tuple[float, Message]] = []
        self._hinted = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Deliver what was delayed, until cancelled."""
        task_status.started()
        while True:
            while not self._delayed:
                self._hinted = trio.Event()
                await self._hinted.wait()
            # By the instant of arrival: what was published first may come last.
            self._delayed.sort(key=lambda one: one[0])
            at, message = self._delayed.pop(0)
            await trio.sleep_until(at)
            self._inner.publish(message)

    # -- what a test does to the server ------------------------------------------------------------

    def go_down(self) -> None:
        """Answer nobody from now on."""
        self._become(BrokerState(connected=False, reason="the test took it down"))

    def come_back(self) -> None:
        """Answer again."""
        self._become(BrokerState(connected=True))

    def wipe(self) -> None:
        """Forget every stream."""
        self.stream.clear()
        self._pending.clear()

    def send(self, *events: EventDraft) -> None:
        """Send events as another system would."""
        self._pending.extend(events)
        self._arrived.set()

    def _become(self, state: BrokerState) -> None:
        self._state = state
        self._inner.publish(Message(BROKER_STATE, ""))
        self._arrived.set()

    # -- the port ----------------------------------------------------------------------------------

    def publish(self, message: Message) -> None:
        """Lose, double or delay the hint."""
        for _ in range(self._copies() if self._state.connected else 0):
            delay_s = self._chance.uniform(0, self._badness.delay_s)
            self._delayed.append((trio.current_time() + delay_s, message))
            self._hinted.set()

    def subscribe(
        self, *topics: str, key: str | None = None, capacity: int = 10_000
    ) -> AbstractAsyncContextManager[AsyncIterator[Message]]:
        """Subscribe to what gets through."""
        return self._inner.subscribe(*topics, key=key, capacity=capacity)

    def state(self) -> BrokerState:
        """Return what the test decided."""
        return self._state

    async def relay(self, events: Sequence[Event]) -> None:
        """Store the events, some of them, or all of them twice; acknowledge or not."""
        await trio.lowlevel.checkpoint()
        if not self._state.connected:
            raise BrokerUnavailable("the server is down")
        stored = list(events)
        lost = self._chance.random() < self._badness.drop
        if lost:
            stored = stored[: self._chance.randrange(len(stored) + 1)]
        self.stream += stored * (2 if self._chance.random() < self._badness.double else 1)
        if lost:
            raise BrokerUnavailable("the acknowledgement was lost")

    @asynccontextmanager
    async def incoming(self) -> AsyncIterator[AsyncIterator[Incoming]]:
        """Bring what was sent in any order, again and again until an acknowledgement gets through."""
        yield self._bring()

    async def _bring(self) -> AsyncIterator[Incoming]:
        while True:
            while not self._pending or not self._state.connected:
                self._arrived = trio.Event()
                await self._arrived.wait()
            await trio.lowlevel.checkpoint()
            event = self._chance.choice(self._pending)
            yield Incoming(event, partial(self._acknowledge, event))

    async def _acknowledge(self, event: EventDraft) -> None:
        await trio.lowlevel.checkpoint()
        if not self._state.connected or self._chance.random() < self._badness.drop:
            raise BrokerUnavailable("the acknowledgement was lost")
        if event in self._pending and self._chance.random() >= self._badness.double:
            self._pending.remove(event)
            self.acknowledged.append(event.id or "")

    def _copies(self) -> int:
        if self._chance.random() < self._badness.drop:
            return 0
        return 2 if self._chance.random() < self._badness.double else 1
