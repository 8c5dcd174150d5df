"""State what a broker with a server must do beyond hints in one process, with the server's faults."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import trio

from flowdapt.domain.errors import BrokerUnavailable
from flowdapt.domain.events import Event
from flowdapt.ports.broker import RUN_READY, Broker, Incoming, Message
from flowdapt.testing.broker_contract import PATIENCE_S, BrokerContract, connected, keys, until

__all__ = ["OutsideBrokerContract"]


def event(number: int, **more: Any) -> Event:
    """Return an event of the journal."""
    given = {"cursor": number, "id": f"event-{number}", "type": "com.example.told"} | more
    return Event(
        time=datetime(2026, 1, 1, tzinfo=UTC), source="flowdapt", subject="a subject", **given
    )


def sent(ident: str, **more: Any) -> bytes:
    """Return an event as another system sends it."""
    given = {"specversion": "1.0", "id": ident, "source": "tests", "type": "com.example.sent"}
    return json.dumps(given | more).encode()


JUNK = {
    "a pickle": b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x04true\x94\x85\x94R\x94.",
    "nothing": b"",
    "half a document": b'{"specversion": "1.0", "id": ',
    "a list": b"[1, 2, 3]",
    "no version": b'{"id": "a", "source": "tests", "type": "com.example.sent"}',
    "an unknown version": sent("a", specversion="9.9"),
    "wrong types": sent("a", type=["com.example.sent"]),
    "no id": sent(""),
    "a type of ours": sent("a", type="com.event.workflow.workflow_finished"),
    "too much data": sent("a", data="x" * 70_000),
    "depth": b'{"data":' + b"[" * 100_000,
    "not finite": b'{"data": NaN}',
    "not UTF-8": b'{"id": "\xff\xfe"}',
}


async def taken(incoming: AsyncIterator[Incoming], count: int = 1) -> list[str]:
    """Take and acknowledge the next events; return their ids."""
    found = []
    with trio.fail_after(PATIENCE_S):
        for _ in range(count):
            one = await anext(incoming)
            await one.ack()
            assert one.event.id is not None
            found.append(one.event.id)
    return found


async def relayed(broker: Broker, *events: Event) -> None:
    """Relay as a service does: again until the server has acknowledged."""
    with trio.fail_after(PATIENCE_S):
        while True:
            try:
                return await broker.relay(events)
            except BrokerUnavailable:
                await trio.sleep(0.05)


class OutsideBrokerContract(BrokerContract):
    """What a broker promises of other daemons, of events, and of a server that comes and goes.

    A subclass also says how the server is stopped and started, and speaks to it as others would. Each
    test has a prefix of its own, or a server of its own.
    """

    @abstractmethod
    async def stop_server(self) -> None:
        """Kill the server, as a power cut would."""

    @abstractmethod
    async def start_server(self) -> None:
        """Start it again where it was, with what it had stored."""

    @abstractmethod
    async def wipe_server(self) -> None:
        """Start it again where it was, with nothing stored."""

    @abstractmethod
    async def send(self, *payloads: bytes) -> None:
        """Send bytes to where the broker takes events from other systems."""

    @abstractmethod
    async def read_events(self) -> list[bytes]:
        """Return every payload of the stream of events, in order."""

    @abstractmethod
    async def read_dead_letters(self) -> list[bytes]:
        """Return every payload of the dead-letter stream, in order."""

    # -- hints -------------------------------------------------------------------------------------

    async def test_two_daemons_see_each_other(self) -> None:
        async with self.opened() as one, self.opened() as other:
            await connected(one, other)
            async with other.subscribe(RUN_READY) as messages:
                for number in range(50):
                    one.publish(Message(RUN_READY, str(number), object()))
                with trio.fail_after(PATIENCE_S):
                    assert await anext(messages) == Message(RUN_READY, "0")
                assert await keys(messages, 49) == [str(number) for number in range(1, 50)]

    async def test_a_publisher_hears_itself_once(self) -> None:
        async with self.opened() as one, self.opened() as other:
            await connected(one, other)
            async with one.subscribe(RUN_READY) as own, other.subscribe(RUN_READY) as others:
                one.publish(Message(RUN_READY, "a"))
                assert await keys(others, 1) == ["a"]
                other.publish(Message(RUN_READY, "b"))
                assert await keys(own, 2) == ["a", "b"]

    async def test_without_a_server_everything_within_the_process_goes_on(self) -> None:
        await self.stop_server()
        async with self.opened() as broker, broker.subscribe(RUN_READY) as messages:
            for number in range(20_000):
                broker.publish(Message(RUN_READY, str(number)))
            assert await keys(messages, 3) == ["10000", "10001", "10002"]
            with trio.fail_after(PATIENCE_S), pytest.raises(BrokerUnavailable):
                await broker.relay([event(1)])
            assert not broker.state().connected
            assert broker.state().reason
        await self.start_server()

    async def test_it_connects_again_after_the_server_was_killed(self) -> None:
        async with self.opened() as one, self.opened() as other:
            await connected(one, other)
            await self.stop_server()
            await until(lambda: not one.state().connected and not other.state().connected)
            await self.start_server()
            await connected(one, other)
            async with other.subscribe(RUN_READY) as messages:
                one.publish(Message(RUN_READY, "back"))
                while await keys(messages, 1) != ["back"]:
                    pass

    async def test_a_server_that_starts_later_is_found(self) -> None:
        await self.stop_server()
        async with self.opened() as broker:
            await until(lambda: broker.state().reason not in ("", "not yet connected"))
            await self.start_server()
            await connected(broker)

    # -- events out --------------------------------------------------------------------------------

    async def test_events_reach_the_stream_in_order_as_cloud_events(self) -> None:
        async with self.opened() as broker:
            await connected(broker)
            numbers = range(1, 31)
            await broker.relay([event(n, run="r", seq=n, data={"n": n}) for n in numbers])
            found = [json.loads(payload) for payload in await self.read_events()]
        assert [one["data"] for one in found] == [{"n": n} for n in numbers]
        assert found[0] == {
            "specversion": "1.0", "id": "event-1", "source": "flowdapt", "type": "com.example.told",
            "subject": "a subject", "time": "2026-01-01T00:00:00+00:00", "cursor": 1, "run": "r",
            "seq": 1, "datacontenttype": "application/json", "causationdepth": 0, "data": {"n": 1},
        }  # fmt: skip

    async def test_types_that_no_server_knows_are_relayed(self) -> None:
        async with self.opened() as broker:
            await connected(broker)
            await broker.relay([event(1, type="odd type.*.>.ä"), event(2, type="...")])
            found = [json.loads(payload)["type"] for payload in await self.read_events()]
        assert found == ["odd type.*.>.ä", "..."]

    async def test_a_repeat_is_known_by_its_id(self) -> None:
        async with self.opened() as broker:
            await connected(broker)
            for _ in range(2):
                await broker.relay([event(1), event(2)])
            found = [json.loads(payload)["id"] for payload in await self.read_events()]
        assert list(dict.fromkeys(found)) == ["event-1", "event-2"]

    async def test_what_was_acknowledged_outlives_the_server(self) -> None:
        async with self.opened() as broker:
            await connected(broker)
            await broker.relay([event(1)])
            await self.stop_server()
            await self.start_server()
            await relayed(broker, event(2))
            found = [json.loads(payload)["id"] for payload in await self.read_events()]
        assert list(dict.fromkeys(found)) == ["event-1", "event-2"]

    async def test_a_wiped_server_takes_events_again(self) -> None:
        async with self.opened() as broker, broker.incoming() as incoming:
            await connected(broker)
            await broker.relay([event(1)])
            await self.wipe_server()
            await relayed(broker, event(2))
            found = [json.loads(payload)["id"] for payload in await self.read_events()]
            assert found[-1] == "event-2"
            await _sent_somehow(self, incoming)

    # -- events in ---------------------------------------------------------------------------------

    async def test_events_of_others_come_in(self) -> None:
        async with self.opened() as broker, broker.incoming() as incoming:
            await connected(broker)
            await _listening(incoming)
            await self.send(sent("a", data={"n": [1]}, subject="it", causationdepth=2, mine="x"))
            with trio.fail_after(PATIENCE_S):
                one = await anext(incoming)
            await one.ack()
            draft = one.event
            assert (draft.id, draft.type, draft.source) == ("a", "com.example.sent", "tests")
            assert (draft.data, draft.subject, draft.causation_depth) == ('{"n":[1]}', "it", 2)

    async def test_what_was_acknowledged_does_not_come_again(self) -> None:
        async with self.opened() as broker, broker.incoming() as incoming:
            await _listening(incoming)
            await self.send(sent("a"), sent("b"))
            assert await taken(incoming, 2) == ["a", "b"]
        async with self.opened() as broker, broker.incoming() as incoming:
            await self.send(sent("c"))
            assert await taken(incoming) == ["c"]

    async def test_each_event_goes_to_one_of_several_daemons(self) -> None:
        found: list[str] = []

        async def take(incoming: AsyncIterator[Incoming]) -> None:
            while True:
                found.extend(await taken(incoming))

        async with (
            self.opened() as one,
            self.opened() as other,
            one.incoming() as first,
            other.incoming() as second,
            trio.open_nursery() as nursery,
        ):
            await _listening(first)
            nursery.start_soon(take, first)
            nursery.start_soon(take, second)
            await self.send(*(sent(str(number)) for number in range(20)))
            await until(lambda: len(found) >= 20)
            nursery.cancel_scope.cancel()
        assert sorted(found, key=int) == [str(number) for number in range(20)]

    async def test_events_come_in_across_an_outage(self) -> None:
        async with self.opened() as broker, broker.incoming() as incoming:
            await _listening(incoming)
            await self.send(sent("before"))
            assert await taken(incoming) == ["before"]
            await self.stop_server()
            await self.start_server()
            await self.send(sent("after"))
            assert await taken(incoming) == ["after"]

    async def test_junk_becomes_dead_letters_and_holds_nothing_up(self) -> None:
        async with self.opened() as broker, broker.incoming() as incoming:
            await _listening(incoming)
            await self.send(*JUNK.values(), sent("good"))
            assert await taken(incoming) == ["good"]
            dead = await self.read_dead_letters()
        assert dead == [payload[:4096] for payload in JUNK.values()]


async def _listening(incoming: AsyncIterator[Incoming]) -> None:
    """Return when the server knows that events are to be kept for us."""
    with trio.move_on_after(0.3):
        await anext(incoming)


async def _sent_somehow(contract: OutsideBrokerContract, incoming: AsyncIterator[Incoming]) -> None:
    """Send until one arrives: right after a wipe the server may have nowhere to keep it."""
    with trio.fail_after(PATIENCE_S):
        while True:
            await contract.send(sent("again"))
            with trio.move_on_after(1):
                assert await taken(incoming) == ["again"]
                return
