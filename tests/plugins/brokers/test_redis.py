"""What is peculiar to Redis: logins, databases, entries of any shape and size, pending ones taken over."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import coredis
import pytest
import trio

from flowdapt.domain.errors import StartRefused
from flowdapt.plugins.brokers import redis as module
from flowdapt.plugins.brokers.redis import RedisBroker
from flowdapt.testing.broker_contract import connected, until
from flowdapt.testing.broker_outside import sent, taken
from tests.brokers import BrokerServer, RedisServer, running_server

pytestmark = pytest.mark.trio


@pytest.fixture(scope="module")
def server() -> Iterator[BrokerServer]:
    with running_server(RedisServer) as server:
        yield server


async def test_without_its_library_it_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "coredis", None)
    with pytest.raises(StartRefused) as refused:
        RedisBroker("redis://127.0.0.1")
    assert refused.value.fix == "pip install 'flowdapt[redis]'"


async def test_a_wrong_password_is_a_reason_and_the_right_one_connects(
    server: BrokerServer,
) -> None:
    async with coredis.Redis.from_url(server.url) as client:
        await client.acl_setuser("fd", "on", ">w/ord", "~*", "&*", "+@all")
    place = server.url.partition("://")[2]
    async with trio.open_nursery() as nursery:
        wrong, right = (
            RedisBroker(f"redis://fd:{word}@{place}", prefix="login") for word in ("no", "w%2Ford")
        )
        await nursery.start(wrong.run)
        await nursery.start(right.run)
        await connected(right)
        await until(lambda: wrong.state().reason not in ("", "not yet connected"))
        assert not wrong.state().connected
        nursery.cancel_scope.cancel()


async def test_junk_of_a_hundred_megabytes_is_a_short_dead_letter(server: BrokerServer) -> None:
    broker = RedisBroker(server.url, prefix="large")
    async with trio.open_nursery() as nursery:
        await nursery.start(broker.run)
        await server.send("large", b"x" * 100_000_000, sent("good"))
        async with broker.incoming() as incoming:
            assert await taken(incoming) == ["good"]
        nursery.cancel_scope.cancel()
    assert await server.read("large", "dead") == [b"x" * 4096]


async def test_an_entry_of_another_shape_is_a_dead_letter(server: BrokerServer) -> None:
    broker = RedisBroker(server.url, prefix="shape")
    async with coredis.Redis.from_url(server.url) as client:
        await client.xadd("shape:incoming", {"something": b"else"})
    await server.send("shape", sent("good"))
    async with trio.open_nursery() as nursery:
        await nursery.start(broker.run)
        async with broker.incoming() as incoming:
            assert await taken(incoming) == ["good"]
        nursery.cancel_scope.cancel()
    assert await server.read("shape", "dead") == [b""]


async def test_a_key_that_is_no_stream_is_no_end(server: BrokerServer) -> None:
    async with coredis.Redis.from_url(server.url) as client:
        await client.set("odd:incoming", "no stream")
        broker = RedisBroker(server.url, prefix="odd")
        async with trio.open_nursery() as nursery:
            await nursery.start(broker.run)
            async with broker.incoming() as incoming:
                with trio.move_on_after(1):
                    await anext(incoming)
                assert broker.state().connected
                await client.delete(["odd:incoming"])
                await server.send("odd", sent("good"))
                assert await taken(incoming) == ["good"]
            nursery.cancel_scope.cancel()


async def test_what_a_dead_daemon_had_fetched_is_taken_over(
    server: BrokerServer, monkeypatch
) -> None:
    monkeypatch.setattr(module, "ACK_WAIT_S", 0.2)
    await server.send("dead", sent("one"))
    for acknowledges in (False, True):
        broker = RedisBroker(server.url, prefix="dead")
        async with trio.open_nursery() as nursery:
            await nursery.start(broker.run)
            async with broker.incoming() as incoming:
                with trio.fail_after(20):
                    one = await anext(incoming)
                assert one.event.id == "one"
                if acknowledges:
                    await one.ack()
            nursery.cancel_scope.cancel()
