"""What is peculiar to NATS: URLs, subjects, TLS, junk as large as it gets, streams that others made."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import nats
import nats.js.api
import pytest
import trio

from flowdapt.domain.errors import StartRefused
from flowdapt.plugins.brokers.nats import NatsBroker
from flowdapt.plugins.brokers.nats_session import Names, _login
from flowdapt.plugins.futures import open_portal
from flowdapt.testing.broker_contract import connected, until
from flowdapt.testing.broker_outside import event, sent, taken
from tests.brokers import BrokerServer, NatsServer, running_server

pytestmark = pytest.mark.trio


@pytest.fixture(scope="module")
def server() -> Iterator[BrokerServer]:
    with running_server(NatsServer) as server:
        yield server


async def test_a_url_names_servers_and_a_login() -> None:
    found = _login("nats://a%40b:w%2Ford@one:4222,two")
    assert found == {
        "servers": ["nats://one:4222", "nats://two"], "user": "a@b", "password": "w/ord",
    }  # fmt: skip
    assert _login("nats://token@one") == {"servers": ["nats://one"], "token": "token"}
    assert set(_login("tls://one")) == {"servers", "tls"}


async def test_any_event_type_makes_a_subject() -> None:
    names = Names("p")
    assert names.event("com.example.told") == "p.events.com.example.told"
    assert names.event("a b.*.>.ä\n") == "p.events.a_b._._.__"
    assert names.event("..") == "p.events._"


async def test_without_its_library_it_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "flowdapt.plugins.brokers.nats_session", None)
    with pytest.raises(StartRefused) as refused:
        NatsBroker("nats://127.0.0.1")
    assert refused.value.fix == "pip install 'flowdapt[nats]'"


async def test_a_stream_that_somebody_made_stays_as_it_is(server: BrokerServer) -> None:
    async def make() -> None:
        client = await nats.connect(server.url)
        config = nats.js.api.StreamConfig(name="mine-events", subjects=["mine.>"], max_msgs=5)
        await client.jetstream().add_stream(config)
        await client.close()

    async with open_portal("test") as portal:
        await portal.call(make)
    broker = NatsBroker(server.url, prefix="mine")
    async with trio.open_nursery() as nursery:
        await nursery.start(broker.run)
        await connected(broker)
        # The incoming stream's subject is taken by that wide one, so nothing comes in; hints go on.
        assert broker.state().connected
        nursery.cancel_scope.cancel()
    assert len(await server.read("mine", "events")) == 0


async def test_the_largest_junk_is_a_short_dead_letter(server: BrokerServer) -> None:
    broker = NatsBroker(server.url, prefix="large")
    async with trio.open_nursery() as nursery:
        await nursery.start(broker.run)
        async with broker.incoming() as incoming:
            with trio.move_on_after(0.3):
                await anext(incoming)
            await server.send("large", b"x" * 7_000_000, sent("good"))
            assert await taken(incoming) == ["good"]
        nursery.cancel_scope.cancel()
    assert await server.read("large", "dead") == [b"x" * 4096]


async def test_an_event_larger_than_the_server_takes_holds_up_none_behind_it(
    server: BrokerServer,
) -> None:
    broker = NatsBroker(server.url, prefix="huge")
    async with trio.open_nursery() as nursery:
        await nursery.start(broker.run)
        await connected(broker)
        await broker.relay([event(1, data="x" * 9_000_000), event(2)])
        nursery.cancel_scope.cancel()
    (only,) = await server.read("huge", "events")
    assert b"event-2" in only


@contextmanager
def greeting(line: bytes, heard: list[bytes]) -> Iterator[str]:
    """Be a server that says one line, and notes what it hears."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(line)
                    connection.settimeout(0.5)
                    try:
                        while data := connection.recv(4096):
                            heard.append(data)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


async def test_no_login_is_told_to_a_server_that_offers_no_tls() -> None:
    heard: list[bytes] = []
    with greeting(
        b'INFO {"server_id":"x","version":"2.11.0","max_payload":1048576}\r\n', heard
    ) as at:
        broker = NatsBroker(f"tls://user:geheim@{at}")
        async with trio.open_nursery() as nursery:
            await nursery.start(broker.run)
            await until(lambda: "TLS" in broker.state().reason)
            nursery.cancel_scope.cancel()
    assert b"geheim" not in b"".join(heard)


@pytest.mark.parametrize(
    "line", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"INFO {nonsense\r\n", b"\x00" * 100]
)
async def test_a_server_that_is_none_is_asked_again(line: bytes) -> None:
    with greeting(line, []) as at:
        broker = NatsBroker(f"nats://{at}")
        async with trio.open_nursery() as nursery:
            await nursery.start(broker.run)
            await until(lambda: broker.state().reason not in ("", "not yet connected"))
            assert not broker.state().connected
            nursery.cancel_scope.cancel()
