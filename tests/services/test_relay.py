"""The relay carries each event at least once in either direction, whatever the broker does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import trio

from flowdapt.domain.errors import InvalidInput, StoreBusy
from flowdapt.domain.events import Event, EventDraft
from flowdapt.plugins.brokers.inprocess import InProcessBroker
from flowdapt.ports.broker import EVENT_ADDED, Message
from flowdapt.services.relay import BROKER_CONNECTED, BROKER_LOST, CONSUMER, Relay
from flowdapt.stores.memory import MemoryStore
from flowdapt.testing.fakes import FakeClock
from flowdapt.testing.lossy_broker import Badness, LossyBroker

if TYPE_CHECKING:
    from trio.testing import MockClock

pytestmark = pytest.mark.trio

GOOD = Badness(0, 0)


@dataclass
class Station:
    store: MemoryStore
    broker: LossyBroker
    nursery: trio.Nursery
    troubles: list[str | None] = field(default_factory=list)

    async def add(self, *numbers: int) -> None:
        for number in numbers:
            await self.store.add_event(draft(number))

    async def events(self) -> list[Event]:
        return await self.store.list_events()


def draft(number: int) -> EventDraft:
    return EventDraft("com.example.told", "it", json.dumps(number), id=f"event-{number}")


def ids(events: list[Event]) -> list[str]:
    return [one.id for one in events]


@asynccontextmanager
async def station(
    badness: Badness = GOOD, *, seed: int = 0, store: MemoryStore | None = None
) -> AsyncIterator[Station]:
    clock = FakeClock()
    store = store or MemoryStore(clock)
    await store.open()
    broker = LossyBroker(InProcessBroker(), badness, seed=seed)
    async with trio.open_nursery() as nursery:
        found = Station(store, broker, nursery)
        relay = Relay(store=store, broker=broker, clock=clock, report=found.troubles.append)
        await nursery.start(lambda task_status: broker.run(task_status=task_status))
        await nursery.start(lambda task_status: relay.run(task_status=task_status))
        await trio.sleep(1)
        yield found
        nursery.cancel_scope.cancel()


async def test_what_is_added_is_sent_soon_after_its_hint(autojump_clock: MockClock) -> None:
    async with station() as s:
        await s.add(1)
        s.broker.publish(Message(EVENT_ADDED, "com.example.told"))
        await trio.sleep(0.1)
        assert ids(s.broker.stream) == ["event-1"]


async def test_what_is_added_without_a_hint_is_sent_at_the_next_look(
    autojump_clock: MockClock,
) -> None:
    async with station() as s:
        await s.add(*range(250))
        await trio.sleep(6)
        assert ids(s.broker.stream) == [f"event-{number}" for number in range(250)]


async def test_history_from_before_the_first_time_is_not_sent(autojump_clock: MockClock) -> None:
    store = MemoryStore(FakeClock())
    await store.open()
    await store.add_event(draft(1))
    async with station(store=store) as s:
        await s.add(2)
        await trio.sleep(6)
        assert ids(s.broker.stream) == ["event-2"]


async def test_a_new_relay_goes_on_where_the_last_one_stood(autojump_clock: MockClock) -> None:
    async with station() as s:
        await s.add(1)
        await trio.sleep(6)
    await s.store.add_event(draft(2))
    async with station(store=s.store) as again:
        await trio.sleep(6)
        assert ids(again.broker.stream) == ["event-2"]


async def test_events_wait_for_a_broker_that_is_down_and_leave_as_it_comes_back(
    autojump_clock: MockClock,
) -> None:
    async with station() as s:
        s.broker.go_down()
        await s.add(*range(10))
        await trio.sleep(600)
        assert s.broker.stream == []
        s.broker.come_back()
        await trio.sleep(1)
        told = [one for one in ids(s.broker.stream) if one.startswith("event-")]
        assert told == [f"event-{number}" for number in range(10)]


@pytest.mark.parametrize("seed", range(5))
async def test_a_bad_broker_gets_every_event_and_brings_each_once(
    autojump_clock: MockClock, seed: int
) -> None:
    async with station(Badness(0.3, 0.3, 60), seed=seed) as s:
        await s.add(*range(300))
        sent = [EventDraft("com.example.sent", "", "1", id=f"sent-{n}") for n in range(100)]
        s.broker.send(*sent)
        await trio.sleep(1200)
        told = {f"event-{number}" for number in range(300)}
        journal = ids(await s.events())
        assert told <= set(ids(s.broker.stream))
        assert sorted(journal) == sorted({*told, *(f"sent-{n}" for n in range(100))})
        assert s.broker._pending == []


async def test_the_cursor_moves_only_after_an_acknowledgement(autojump_clock: MockClock) -> None:
    async with station(Badness(drop=1, double=0)) as s:
        before = await s.store.get_cursor(CONSUMER)
        await s.add(1)
        await trio.sleep(60)
        assert await s.store.get_cursor(CONSUMER) == before


async def test_an_incoming_event_is_acknowledged_after_it_was_stored(
    autojump_clock: MockClock,
) -> None:
    async with station() as s:
        failures = [StoreBusy("busy")] * 3
        add = s.store.add_event

        async def slowly(event: EventDraft) -> Event:
            assert s.broker.acknowledged == []
            if failures:
                raise failures.pop()
            return await add(event)

        s.store.add_event = slowly  # type: ignore[method-assign]
        s.broker.send(draft(1))
        await trio.sleep(60)
        assert ids(await s.events()) == ["event-1"]
        assert s.broker.acknowledged == ["event-1"]


async def test_an_event_that_the_store_refuses_holds_up_none_behind_it(
    autojump_clock: MockClock,
) -> None:
    async with station() as s:
        add = s.store.add_event

        async def refuse(event: EventDraft) -> Event:
            if event.id == "event-1":
                raise InvalidInput("never")
            return await add(event)

        s.store.add_event = refuse  # type: ignore[method-assign]
        s.broker.send(draft(1), draft(2))
        await trio.sleep(60)
        assert ids(await s.events()) == ["event-2"]
        assert sorted(s.broker.acknowledged) == ["event-1", "event-2"]


async def test_an_outage_is_reported_at_once_and_told_once_it_lasts(
    autojump_clock: MockClock,
) -> None:
    async with station() as s:
        s.broker.go_down()
        await trio.sleep(1)
        assert "the test took it down" in str(s.troubles[-1])
        assert await s.events() == []
        await trio.sleep(5)
        s.broker.come_back()
        await trio.sleep(1)
        assert s.troubles[-1] is None
        await trio.sleep(10)
        assert [one.type for one in await s.events()] == [BROKER_LOST, BROKER_CONNECTED]


async def test_a_server_that_answers_and_takes_no_events_is_reported(
    autojump_clock: MockClock,
) -> None:
    async with station(Badness(drop=1, double=0)) as s:
        await s.add(1)
        await trio.sleep(10)
        assert s.troubles[-1] == "events are not sent: the acknowledgement was lost"
        s.broker._badness = GOOD
        await trio.sleep(60)
        assert s.troubles[-1] is None


async def test_a_flapping_broker_does_not_fill_the_journal(autojump_clock: MockClock) -> None:
    async with station() as s:
        for _ in range(300):
            s.broker.go_down()
            await trio.sleep(1)
            s.broker.come_back()
            await trio.sleep(1)
        assert await s.events() == []


async def test_a_broker_within_the_process_needs_no_relay(autojump_clock: MockClock) -> None:
    store = MemoryStore(FakeClock())
    await store.open()
    relay = Relay(store=store, broker=InProcessBroker(), clock=FakeClock())
    with trio.fail_after(1):
        await relay.run()
    assert await store.get_cursor(CONSUMER) is None
