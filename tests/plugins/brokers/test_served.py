"""A broker with a server behind it: what it does while the server is down, flaps, hangs or talks nonsense."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
import trio

from flowdapt.domain.errors import BrokerUnavailable
from flowdapt.domain.events import Event
from flowdapt.plugins.brokers import wire
from flowdapt.ports.broker import BROKER_STATE, RUN_READY, Message
from tests.plugins.brokers.fake_server import FakeBroker, FakeServer

pytestmark = pytest.mark.trio


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@asynccontextmanager
async def running(server: FakeServer) -> AsyncIterator[FakeBroker]:
    async with trio.open_nursery() as nursery:
        broker = FakeBroker(server)
        await nursery.start(broker.run)
        yield broker
        nursery.cancel_scope.cancel()


def event(number: int) -> Event:
    return Event(
        cursor=number, id=str(number), time=datetime(2026, 1, 1, tzinfo=UTC), type="t", source="s",
        subject="", data=None,
    )  # fmt: skip


async def test_a_server_that_is_down_for_ten_minutes_is_asked_now_and_then(
    server, autojump_clock
) -> None:
    server.up = False
    async with running(server) as broker:
        await trio.sleep(600)
        assert not broker.state().connected
        assert broker.state().reason == "connection refused"
        assert 600 / 5 <= len(server.connects) <= 600 / 2.5 + 10
        server.up = True
        await trio.sleep(5.1)
        assert broker.state().connected


async def test_a_server_that_flaps_each_second_gets_every_fact_in_the_end(
    server, autojump_clock
) -> None:
    async with running(server) as broker, trio.open_nursery() as nursery:

        async def flap() -> None:
            while True:
                server.take_down()
                await trio.sleep(1)
                server.up = True
                await trio.sleep(1)

        nursery.start_soon(flap)
        for number in range(20):
            while True:
                try:
                    await broker.relay([event(number)])
                    break
                except BrokerUnavailable:
                    await trio.sleep(0.1)
        nursery.cancel_scope.cancel()
    assert [one.id for one in server.events] == [str(number) for number in range(20)]
    # Attempts do not pile up: the pauses grow while no connection holds.
    longest = server.connects[-1] - server.connects[0]
    assert len(server.connects) <= longest / 2.5 + 10


async def test_hints_within_the_process_need_no_server(server, autojump_clock) -> None:
    server.up = False
    async with running(server) as broker, broker.subscribe(RUN_READY) as messages:
        broker.publish(Message(RUN_READY, "a", "value"))
        assert await anext(messages) == Message(RUN_READY, "a", "value")
        assert trio.current_time() - server.connects[0] < 0.01


async def test_waiting_hints_are_bounded_and_each_waits_once(server, autojump_clock) -> None:
    server.up = False
    async with running(server) as broker, running(server) as other:
        for _ in range(3):
            for number in range(12_000):
                broker.publish(Message(RUN_READY, str(number)))
        async with other.subscribe(RUN_READY, capacity=50_000) as messages:
            server.up = True
            await trio.sleep(6)
            found = []
            with trio.move_on_after(1):
                while True:
                    found.append((await anext(messages)).key)
    # Those sent before the other one had connected are lost: hints may be.
    assert len(found) == len(set(found)) <= 10_000
    assert found == sorted(found, key=int)


async def test_its_state_is_told_to_this_process_alone(server, autojump_clock) -> None:
    async with running(server) as broker:
        await broker.connected()
        told: list[str] = []

        async def listen(task_status=trio.TASK_STATUS_IGNORED) -> None:
            async with broker.subscribe(BROKER_STATE) as messages:
                task_status.started()
                async for _ in messages:
                    told.append(broker.state().reason)

        async with trio.open_nursery() as nursery:
            await nursery.start(listen)
            server.links[0].packets.append(wire.pack_hints("x", [(BROKER_STATE, "")]))
            server.links[0].wake()
            await trio.sleep(1)
            assert told == []
            server.up = False
            server.take_down()
            await trio.sleep(60)
            nursery.cancel_scope.cancel()
    assert told == ["the connection was lost", "connection refused"]


@pytest.mark.parametrize(
    "packet",
    [
        b"", b"\x80\x04K\x01.", b"null", b"[]", b'{"v":1}', b"\xff",
        b'{"v":2,"sender":"x","hints":[["run.ready","a"]]}',
        b'{"v":1,"sender":"x","hints":[["run.ready",7]]}',
        b'{"v":1,"sender":"x","hints":[["run.ready","a","b"]]}',
        b'{"v":1,"sender":"x","hints":' + b"[" * 100_000,
        b'{"v":1,"sender":"x","hints":[["run.ready","' + b"a" * 600_000 + b'"]]}',
    ],
    ids=range(11),
)  # fmt: skip
async def test_a_packet_of_junk_is_passed_over(server, autojump_clock, packet: bytes) -> None:
    async with running(server) as broker, broker.subscribe(RUN_READY) as messages:
        await broker.connected()
        server.links[0].packets += [packet, wire.pack_hints("x", [(RUN_READY, "good")])]
        server.links[0].wake()
        assert (await anext(messages)).key == "good"
        assert len(server.connects) == 1


@pytest.mark.parametrize("method", ["take_hints", "send_hints", "connect"])
async def test_a_client_that_stumbles_costs_its_connection_and_no_more(
    server, autojump_clock, method
) -> None:
    failures = [ValueError("what did it say?"), RuntimeError("no idea")]
    server.in_the_way[method] = lambda: failures.pop() if failures else None
    async with running(server) as broker, running(FakeServer()) as other:
        for _ in range(3):
            broker.publish(Message(RUN_READY, "a"))
            await trio.sleep(10)
        assert broker.state().connected
        assert other.state().connected
        assert not failures


async def test_a_server_that_accepts_and_says_nothing_is_left(server, autojump_clock) -> None:
    server.in_the_way["connect"] = lambda: "hangs"
    async with running(server) as broker:
        await trio.sleep(15)
        assert broker.state().reason == "no answer within 10 s"
        del server.in_the_way["connect"]
        await trio.sleep(15)
        assert broker.state().connected


async def test_a_server_that_takes_no_hints_any_more_is_left(server, autojump_clock) -> None:
    server.in_the_way["send_hints"] = lambda: "hangs"
    async with running(server) as broker:
        await broker.connected()
        broker.publish(Message(RUN_READY, "a"))
        await trio.sleep(10.01)
        assert not broker.state().connected


async def test_a_relay_without_an_acknowledgement_fails_in_time(server, autojump_clock) -> None:
    server.in_the_way["append"] = lambda: "hangs"
    async with running(server) as broker:
        await broker.connected()
        with trio.fail_after(20), pytest.raises(BrokerUnavailable):
            await broker.relay([event(1)])


async def test_incoming_events_survive_a_server_that_cannot_be_fetched_from(
    server, autojump_clock
) -> None:
    good = {"specversion": "1.0", "id": "1", "source": "s", "type": "t"}
    failures = [BrokerUnavailable("no stream")] * 5
    server.in_the_way["fetch"] = lambda: failures.pop() if failures else None
    async with running(server) as broker, broker.incoming() as incoming:
        server.incoming.append(json.dumps(good).encode())
        one = await anext(incoming)
        await one.ack()
    assert one.event.id == "1"
    assert server.incoming == []


async def test_an_event_that_was_not_acknowledged_comes_again(server, autojump_clock) -> None:
    good = {"specversion": "1.0", "id": "1", "source": "s", "type": "t"}
    server.incoming.append(json.dumps(good).encode())
    async with running(server) as broker, broker.incoming() as incoming:
        first = await anext(incoming)
        server.take_down()
        with pytest.raises(BrokerUnavailable):
            await first.ack()
        server.up = True
        again = await anext(incoming)
        assert again.event == first.event
