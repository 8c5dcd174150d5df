"""Every broker keeps the contract: in one process, on a real NATS, on a real Redis."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import trio

from flowdapt.plugins.brokers.inprocess import InProcessBroker
from flowdapt.plugins.brokers.nats import NatsBroker
from flowdapt.plugins.brokers.redis import RedisBroker
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

    async def send(self, *payloads: bytes) -> None:
        await self.server.send(self.prefix, *payloads)

    async def read_events(self) -> list[bytes]:
        return await self.server.read(self.prefix, "events")

    async def read_dead_letters(self) -> list[bytes]:
        return await self.server.read(self.prefix, "dead")


class TestNats(_Served):
    @pytest.fixture(autouse=True)
    def _place(self, nats_server: BrokerServer) -> None:
        self.server, self.prefix = nats_server, f"test-{next(_numbers)}"

    def opened(self):
        return running(NatsBroker(self.server.url, prefix=self.prefix))


class TestRedis(_Served):
    @pytest.fixture(autouse=True)
    def _place(self, redis_server: BrokerServer) -> None:
        self.server, self.prefix = redis_server, f"test-{next(_numbers)}"

    def opened(self):
        return running(RedisBroker(self.server.url, prefix=self.prefix))
