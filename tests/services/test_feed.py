"""The feed: read once for all, kept within bounds, resumed from the store, never held up by anybody."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from flowdapt.domain.errors import Unavailable
from flowdapt.domain.event_filter import EventFilter
from flowdapt.domain.events import Event, EventDraft
from flowdapt.plugins.brokers.inprocess import InProcessBroker
from flowdapt.ports.broker import EVENT_ADDED, Message
from flowdapt.services.feed import LOOK_S, Feed, Place
from flowdapt.stores.memory import MemoryStore
from flowdapt.testing import FakeClock

pytestmark = pytest.mark.trio

ALL = EventFilter()


class CountedStore(MemoryStore):
    """A memory store that counts how often its journal is read, and fails on request."""

    def __init__(self) -> None:
        super().__init__(FakeClock())
        self.looks = 0
        self.limits: list[int] = []
        self.broken = False

    async def list_events(self, **chosen: Any) -> list[Event]:
        self.looks += 1
        self.limits.append(chosen["limit"])
        if self.broken:
            raise Unavailable("the database is away")
        return await super().list_events(**chosen)


def frame(kind: str, ident: str, value: str) -> bytes:
    return json.dumps([kind, ident, json.loads(value)]).encode() + b"\n"


@dataclass
class House:
    """A feed over a memory store."""

    store: CountedStore
    broker: InProcessBroker
    feed: Feed
    framed: list[str] = field(default_factory=list)

    async def add(self, *numbers: int, kind: str = "mine", hint: bool = True, pad: int = 0) -> None:
        for number in numbers:
            data = json.dumps({"n": number, "pad": "x" * pad})
            await self.store.add_event(EventDraft(kind, f"test/{number}", data))
        if hint:
            self.broker.publish(Message(EVENT_ADDED, kind))

    @asynccontextmanager
    async def reader(
        self, place: Place | None = None, where: EventFilter = ALL
    ) -> AsyncIterator[Reader]:
        place = place or await self.feed.place()
        async with self.feed.follow(place, where) as pieces:
            yield Reader(pieces)


class Reader:
    """Takes events out of the pieces, one by one."""

    def __init__(self, pieces: AsyncGenerator[bytes, None]) -> None:
        self._pieces = pieces
        self._rest: list[tuple[str, str, Any]] = []

    async def event(self) -> tuple[str, str, Any]:
        while not self._rest:
            with trio.fail_after(30):
                piece = await anext(self._pieces)
            self._rest = [tuple(json.loads(line)) for line in piece.splitlines()]
        return self._rest.pop(0)

    async def numbers(self, count: int) -> list[int]:
        return [(await self.event())[2]["data"]["n"] for _ in range(count)]


@asynccontextmanager
async def house(**bounds: int) -> AsyncIterator[House]:
    store, broker = CountedStore(), InProcessBroker()
    await store.open()
    made = House(store, broker, Feed(store=store, broker=broker, frame=frame, **bounds))

    def counted(kind: str, ident: str, value: str) -> bytes:
        made.framed.append(ident)
        return frame(kind, ident, value)

    made.feed = Feed(store=store, broker=broker, frame=counted, **bounds)
    async with trio.open_nursery() as nursery:
        await nursery.start(made.feed.run)
        yield made
        nursery.cancel_scope.cancel()


async def test_a_reader_is_told_what_happens_from_now_on(autojump_clock: MockClock) -> None:
    async with house() as its:
        await its.add(1, 2)
        async with its.reader() as reader:
            await its.add(3, 4)
            assert await reader.numbers(2) == [3, 4]


async def test_fifty_readers_cost_one_look_and_one_frame_each_event(
    autojump_clock: MockClock,
) -> None:
    got: list[list[int]] = []
    async with house() as its:

        async def read(*, task_status: trio.TaskStatus[None]) -> None:
            async with its.reader() as reader:
                task_status.started()
                got.append(await reader.numbers(5))

        async with trio.open_nursery() as nursery:
            for _ in range(50):
                await nursery.start(read)
            await wait_all_tasks_blocked()
            its.store.looks = 0
            await its.add(1, 2, 3, 4, 5)
        assert its.store.looks <= 2
    assert got == [[1, 2, 3, 4, 5]] * 50
    assert len(its.framed) == 5


async def test_a_lost_hint_costs_five_seconds(autojump_clock: MockClock) -> None:
    async with house() as its, its.reader() as reader:
        await wait_all_tasks_blocked()
        began = trio.current_time()
        await its.add(1, hint=False)
        assert await reader.numbers(1) == [1]
        assert trio.current_time() - began <= LOOK_S + 0.1


async def test_without_readers_nothing_is_read(autojump_clock: MockClock) -> None:
    async with house() as its:
        async with its.reader() as reader:
            await its.add(1)
            await reader.numbers(1)
        await trio.sleep(2 * LOOK_S)
        its.store.looks = 0
        await its.add(2, 3)
        await trio.sleep(100)
        assert (its.store.looks, its.feed.readers) == (0, 0)
        async with its.reader() as reader:
            await its.add(4)
            assert await reader.numbers(1) == [4]


async def test_a_reader_that_comes_while_the_feed_goes_to_sleep_is_served(
    autojump_clock: MockClock,
) -> None:
    async with house() as its:
        for number in range(20):
            async with its.reader() as reader:
                await its.add(number)
                assert await reader.numbers(1) == [number]
            await trio.sleep(number * LOOK_S / 10)


async def test_a_reader_that_falls_behind_is_told_what_it_missed_and_goes_on(
    autojump_clock: MockClock,
) -> None:
    async with house(kept_events=10) as its, its.reader() as slow, its.reader() as quick:
        await wait_all_tasks_blocked()
        await its.add(0)
        assert await slow.numbers(1) == await quick.numbers(1) == [0]
        for number in range(1, 31):
            await its.add(number)
            assert await quick.numbers(1) == [number]
        kind, ident, gap = await slow.event()
        assert (kind, gap["reason"]) == ("gap", "the reader was too slow")
        assert (gap["from"], gap["to"], gap["missed"]) == (1, 21, 20)
        assert ident.endswith("-21")
        assert await slow.numbers(10) == list(range(21, 31))
        await its.add(31)
        assert await slow.numbers(1) == [31]


async def test_what_is_kept_is_bounded_in_bytes(autojump_clock: MockClock) -> None:
    async with house(kept_bytes=50_000) as its, its.reader() as slow, its.reader() as quick:
        await wait_all_tasks_blocked()
        await its.add(0)
        await slow.numbers(1)
        await quick.numbers(1)
        for number in range(1, 11):
            await its.add(number, pad=20_000)
            await quick.numbers(1)
        assert (await slow.event())[2]["missed"] == 8
        assert await slow.numbers(2) == [9, 10]


async def test_one_event_larger_than_all_that_is_kept_is_a_gap_and_no_end(
    autojump_clock: MockClock,
) -> None:
    async with house(kept_bytes=1_000) as its, its.reader() as reader:
        await wait_all_tasks_blocked()
        await its.add(1, pad=5_000)
        assert (await reader.event())[0] == "gap"
        await its.add(2)
        assert await reader.numbers(1) == [2]


async def test_who_resumes_from_before_what_is_kept_is_served_from_the_store(
    autojump_clock: MockClock,
) -> None:
    async with house(kept_events=10) as its, its.reader():
        for number in range(700):
            await its.add(number)
            await trio.sleep(0.1)
        async with its.reader(Place(0)) as reader:
            assert await reader.numbers(650) == list(range(650))
            await its.add(700)
            assert await reader.numbers(51) == list(range(650, 701))


@pytest.mark.parametrize(("pad", "most", "last"), [(60_000, 20, 5), (0, 200, 200)])
async def test_a_reader_catches_up_in_pages_that_are_small_when_events_are_large(
    pad: int, most: int, last: int, autojump_clock: MockClock
) -> None:
    async with house() as its:
        await its.add(*range(600), pad=pad)
        async with its.reader(Place(0)) as reader:
            await reader.numbers(500)
            limits = its.store.limits[1:]
    assert (max(limits), limits[-1]) == (most, last)


async def test_what_happens_while_a_reader_catches_up_comes_once(
    autojump_clock: MockClock,
) -> None:
    async with house(kept_events=50) as its:
        await its.add(*range(450))
        async with its.reader(Place(0)) as reader, trio.open_nursery() as nursery:

            async def write() -> None:
                for number in range(450, 900):
                    await its.add(number)
                    await trio.sleep(0.01)

            nursery.start_soon(write)
            got: list[int] = []
            while len(got) < 900:
                got += await reader.numbers(10)
                await trio.sleep(0.05)
    assert got == list(range(900))


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        (EventFilter(types=("a.*",)), [1, 2]),
        (EventFilter(types=("*.c",)), [2, 4]),
        (EventFilter(types=("a.b", "d")), [1, 3]),
        (EventFilter(subject="test/3"), [3]),
        (EventFilter(run="nobody"), []),
        (EventFilter(workflow="nobody"), []),
    ],
    ids=str,
)
@pytest.mark.parametrize("live", [True, False])
async def test_a_reader_gets_what_it_wants_and_nothing_else(
    where: EventFilter, wanted: list[int], live: bool, autojump_clock: MockClock
) -> None:
    async def happen() -> None:
        for number, kind in enumerate(("a.b", "a.b.c", "d", "e.c"), 1):
            await its.add(number, kind=kind)

    got: list[int] = []
    async with house() as its:
        if not live:
            await happen()
        if where.run and not live:
            return
        async with its.reader(Place(0), where) as reader:
            if live:
                await wait_all_tasks_blocked()
                await happen()
            with trio.move_on_after(20):
                while True:
                    got += await reader.numbers(1)
    assert got == wanted


async def test_a_slow_reader_of_rare_events_gets_no_gap(autojump_clock: MockClock) -> None:
    """It looks at every event, though it is sent few of them."""
    rare = EventFilter(types=("rare",))
    async with house(kept_events=10) as its, its.reader(where=rare) as reader:
        got: list[tuple[str, str, Any]] = []

        async def read() -> None:
            got.append(await reader.event())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            for number in range(100):
                await its.add(number)
                await trio.sleep(0.1)
            await its.add(100, kind="rare")
    assert [event[0] for event in got] == ["rare"]


async def test_an_outage_of_the_store_is_waited_out(autojump_clock: MockClock) -> None:
    async with house() as its, its.reader() as reader, its.reader(Place(0)) as late:
        await its.add(1)
        assert await reader.numbers(1) == await late.numbers(1) == [1]
        its.store.broken = True
        await its.add(2)
        await trio.sleep(60)
        its.store.broken = False
        assert await reader.numbers(1) == await late.numbers(1) == [2]


async def test_a_store_that_is_away_at_the_first_reader_is_waited_for(
    autojump_clock: MockClock,
) -> None:
    async with house() as its:
        await its.add(1)
        its.store.broken = True
        async with its.reader(Place(0)) as reader, trio.open_nursery() as nursery:

            async def heal() -> None:
                await trio.sleep(20)
                its.store.broken = False

            nursery.start_soon(heal)
            assert await reader.numbers(1) == [1]


async def test_ids_of_another_journal_begin_with_a_gap(autojump_clock: MockClock) -> None:
    async with house() as its:
        await its.add(1)
        async with its.reader(await its.feed.place(last_id="another-1")) as reader:
            kind, _, gap = await reader.event()
            assert (kind, gap["from"], gap["missed"]) == ("gap", None, None)
            assert await reader.numbers(1) == [1]


async def test_a_journal_that_ends_before_what_was_read_is_told(autojump_clock: MockClock) -> None:
    async with house() as its:
        await its.add(1, 2)
        incarnation = (await its.store.info()).incarnation
        place = await its.feed.place(last_id=f"{incarnation}-9")
        async with its.reader(place) as reader:
            kind, ident, gap = await reader.event()
            assert (kind, gap["from"], gap["to"]) == ("gap", 9, 2)
            assert ident == f"{incarnation}-2"
            await its.add(3)
            assert await reader.numbers(1) == [3]


async def test_an_id_resumes_behind_its_event_and_wins_over_a_cursor(
    autojump_clock: MockClock,
) -> None:
    async with house() as its:
        await its.add(1, 2, 3)
        async with its.reader(Place(0)) as reader:
            ident = (await reader.event())[1]
        async with its.reader(await its.feed.place(after=3, last_id=ident)) as again:
            assert await again.numbers(2) == [2, 3]


async def test_a_reader_of_a_run_that_is_gone_is_let_go(autojump_clock: MockClock) -> None:
    async with house() as its:
        await its.add(1)
        async with its.reader(Place(0), EventFilter(run="gone")) as reader:
            with pytest.raises(StopAsyncIteration):
                await reader.event()


async def test_an_event_that_is_posted_wakes_readers_and_is_known_again(
    autojump_clock: MockClock,
) -> None:
    async with house() as its, its.reader() as reader:
        await wait_all_tasks_blocked()
        began = trio.current_time()
        first, new = await its.feed.post(EventDraft("mine", "me", '{"n":1}', id="one"))
        again, newer = await its.feed.post(EventDraft("mine", "me", '{"n":2}', id="one"))
        assert await reader.numbers(1) == [1]
        assert trio.current_time() - began < 0.2
    assert (new, newer, again) == (True, False, first)
