"""A broker's server in memory, on a virtual clock, that a test may take down, wipe and fill with junk."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import trio

from flowdapt.domain.errors import BrokerUnavailable
from flowdapt.plugins.brokers.link import FETCH_WAIT_S, Delivery, Link, Outgoing
from flowdapt.plugins.brokers.served import ServedBroker


class FakeServer:
    def __init__(self) -> None:
        self.up = True
        self.events: list[Outgoing] = []
        self.incoming: list[bytes] = []
        self.dead: list[tuple[bytes, str]] = []
        self.connects: list[float] = []
        self.links: list[FakeLink] = []
        # What a test puts in the way of one method.
        self.in_the_way: dict[str, Callable[[], object]] = {}

    def take_down(self) -> None:
        self.up = False
        for link in self.links:
            link.lose()
        self.links = []


class FakeLink(Link):
    def __init__(self, server: FakeServer) -> None:
        self.server = server
        self.lost = False
        self.packets: list[bytes] = []
        self.changed = trio.Event()

    def lose(self) -> None:
        self.lost = True
        self.wake()

    def wake(self) -> None:
        self.changed.set()
        self.changed = trio.Event()

    async def _alive(self, method: str) -> None:
        await trio.lowlevel.checkpoint()
        if method in self.server.in_the_way:
            obstacle = self.server.in_the_way[method]()
            if obstacle == "hangs":
                await trio.sleep_forever()
            if isinstance(obstacle, Exception):
                raise obstacle
        if self.lost:
            raise BrokerUnavailable("the connection was lost")

    async def send_hints(self, payload: bytes) -> None:
        await self._alive("send_hints")
        for link in self.server.links:
            link.packets.append(payload)
            link.wake()

    async def take_hints(self) -> bytes:
        await self._alive("take_hints")
        while not self.packets:
            await self.changed.wait()
            await self._alive("take_hints")
        return self.packets.pop(0)

    async def append(self, events: Sequence[Outgoing]) -> None:
        await self._alive("append")
        self.server.events += events

    async def fetch(self) -> list[Delivery]:
        await self._alive("fetch")
        with trio.move_on_after(FETCH_WAIT_S):
            while not self.server.incoming:
                await self.changed.wait()
                await self._alive("fetch")
        return [Delivery(one, one) for one in self.server.incoming[:10]]

    async def ack(self, delivery: Delivery) -> None:
        await self._alive("ack")
        if delivery.payload in self.server.incoming:
            self.server.incoming.remove(delivery.payload)

    async def bury(self, delivery: Delivery, payload: bytes, reason: str) -> None:
        await self.ack(delivery)
        self.server.dead.append((payload, reason))


class FakeBroker(ServedBroker):
    def __init__(self, server: FakeServer) -> None:
        super().__init__()
        self.server = server

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Link]:
        self.server.connects.append(trio.current_time())
        link = FakeLink(self.server)
        await link._alive("connect")
        if not self.server.up:
            raise BrokerUnavailable("connection refused")
        self.server.links.append(link)
        yield link
