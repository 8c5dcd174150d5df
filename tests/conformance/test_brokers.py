"""Every broker keeps the contract: in one process, on a real NATS, on a real Redis."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import coredis
import nats
import nats.js.errors
import pytest
import trio

from flowdapt.plugins.brokers.inprocess import InProcessBroker
from flowdapt.plugins.brokers.nats import NatsBroker
from flowdapt.plugins.brokers.redis import RedisBroker
from flowdapt.plugins.futures import open_portal
from flowdapt.ports.broker import Broker
from flowdapt.testing.broker_contract import BrokerContract
from flowdapt.testing.broker_outside import OutsideBrokerContract
from tests.brokers import BrokerServer, NatsServer, RedisServer, running_server

_numbers = itertools.count(1)


@asynccontextmanager
async def running(broker: Broker) -> AsyncIterator[Broker]:
    async with trio.open_nursery() as nursery:
        await nursery.start(broker.run)
        yield broker
        nursery.cancel_scope.cancel()


class TestInProcess(BrokerContract):
    def opened(self):
        return running(InProcessBroker())


@pytest.fixture(scope="module")
def nats_server() -> Iterator[BrokerServer]:
    with running_server(NatsServer) as server:
        yield server


@pytest.fixture(scope="module")
def redis_server() -> Iterator[BrokerServer]:
    with running_server(RedisServer) as server:
        yield server


class _Served(OutsideBrokerContract):
    server: BrokerServer
    prefix: str

    async def stop_server(self) -> None:
        self.server.kill()

    async def start_server(self) -> None:
        await trio.to_thread.run_sync(self.server.start)

    async def wipe_server(self) -> None:
        await trio.to_thread.run_sync(self.server.wipe)


class TestNats(_Served):
    @pytest.fixture(autouse=True)
    def _place(self, nats_server: BrokerServer) -> None:
        self.server, self.prefix = nats_server, f"test-{next(_numbers)}"

    def opened(self):
        return running(NatsBroker(self.server.url, prefix=self.prefix))

    async def send(self, *payloads: bytes) -> None:
        async def publish() -> None:
            client = await nats.connect(self.server.url)
            for payload in payloads:
                try:
                    await client.jetstream().publish(f"{self.prefix}.incoming", payload)
                except nats.js.errors.NoStreamResponseError:
                    continue
            await client.close()

        async with open_portal("test") as portal:
            await portal.call(publish)

    async def read_events(self) -> list[bytes]:
        return await self._read("events")

    async def read_dead_letters(self) -> list[bytes]:
        return await self._read("dead")

    async def _read(self, name: str) -> list[bytes]:
        async def read() -> list[bytes]:
            client = await nats.connect(self.server.url)
            stream = client.jetstream()
            state = (await stream.stream_info(f"{self.prefix}-{name}")).state
            found = [
                (await stream.get_msg(f"{self.prefix}-{name}", seq)).data or b""
                for seq in range(state.first_seq, state.last_seq + 1)
            ]
            await client.close()
            return found

        async with open_portal("test") as portal:
            return await portal.call(read)


class TestRedis(_Served):
    @pytest.fixture(autouse=True)
    def _place(self, redis_server: BrokerServer) -> None:
        self.server, self.prefix = redis_server, f"test-{next(_numbers)}"

    def opened(self):
        return running(RedisBroker(self.server.url, prefix=self.prefix))

    async def send(self, *payloads: bytes) -> None:
        async with coredis.Redis.from_url(self.server.url) as client:
            for payload in payloads:
                await client.xadd(f"{self.prefix}:incoming", {"event": payload})

    async def read_events(self) -> list[bytes]:
        return await self._read("events")

    async def read_dead_letters(self) -> list[bytes]:
        return await self._read("dead")

    async def _read(self, name: str) -> list[bytes]:
        async with coredis.Redis.from_url(self.server.url) as client:
            entries = await client.xrange(f"{self.prefix}:{name}")
        return [entry.field_values[b"event"] for entry in entries]
