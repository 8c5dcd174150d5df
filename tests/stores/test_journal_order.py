"""Who reads the journal by cursor misses nothing, however many daemons write it."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from flowdapt.domain.events import EventDraft
from flowdapt.plugins.brokers.inprocess import InProcessBroker
from flowdapt.ports.store import Store
from flowdapt.services import feed as feed_module
from flowdapt.services.feed import Feed, Place
from flowdapt.stores import postgres
from flowdapt.stores.links import Link
from flowdapt.stores.postgres import PostgresLink
from flowdapt.stores.postgres_base import PostgresBase
from flowdapt.stores.sql import SqlStore
from flowdapt.testing.store_records import finish, new_run, progress

pytestmark = pytest.mark.trio

EACH = 25


class _SlowLink(PostgresLink):
    """Lies still between the last insert and the commit, now short, now long."""

    chance = random.Random(3)

    def commit(self) -> None:
        if self._tx is not None:
            self._tx.finish()
        time.sleep(self.chance.choice([0, 0, 0.002, 0.03]))
        super().commit()


class _SlowBase(PostgresBase):
    def writer(self) -> Link:
        return _SlowLink(self._conninfo)


@asynccontextmanager
async def opened(base: PostgresBase) -> AsyncIterator[Store]:
    store = SqlStore(base)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def write(store: Store, name: str) -> None:
    """Write by each way that leads into the journal: runs, their progress and end, own events."""
    for number in range(EACH):
        new = await store.submit(new_run(owner=name))
        await store.commit(progress(new.run, new.stages[0]))
        await store.add_event(EventDraft("own", name, "1"))
        await store.add_event(EventDraft("own", name, "1", id=f"{name}-{number}"))
        await finish(store, new.run, new.stages)


async def written(*stores: Store) -> None:
    async with trio.open_nursery() as nursery:
        for at, store in enumerate(stores):
            nursery.start_soon(write, store, f"a{at}")
            nursery.start_soon(write, store, f"b{at}")


async def read_along(reader: Store, *stores: Store) -> tuple[list[int], list[int]]:
    """Read by cursor while others write; return what was seen, and what there is in the end."""
    seen: list[int] = []
    over = False

    async def read() -> None:
        while True:
            last_look = over
            found = await reader.list_events(after=seen[-1] if seen else 0)
            seen.extend(event.cursor for event in found)
            if last_look and not found:
                return

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await written(*stores)
        over = True
    every: list[int] = []
    while page := await reader.list_events(after=every[-1] if every else 0):
        every += [event.cursor for event in page]
    return seen, every


async def test_two_daemons_on_one_postgresql_make_no_reader_miss_an_event(
    postgres_url: str,
) -> None:
    async with (
        opened(_SlowBase(postgres_url)) as one,
        opened(_SlowBase(postgres_url)) as two,
        opened(PostgresBase(postgres_url)) as reader,
    ):
        seen, every = await read_along(reader, one, two)
        assert await reader.check() == []
    assert len(every) >= 4 * EACH * 5
    assert seen == every


async def test_the_test_would_see_a_journal_without_its_lock(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres._PostgresTx, "lock", lambda self, what: None)
    async with (
        opened(_SlowBase(postgres_url)) as one,
        opened(_SlowBase(postgres_url)) as two,
        opened(PostgresBase(postgres_url)) as reader,
    ):
        seen, every = await read_along(reader, one, two)
    assert set(seen) < set(every)


async def test_a_live_reader_hears_two_daemons_in_order_and_whole(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No hint reaches it: the daemons share nothing but the database."""
    monkeypatch.setattr(feed_module, "LOOK_S", 0.01)
    monkeypatch.setattr(feed_module, "CALM_S", 0.0)
    idents: list[str] = []
    async with (
        opened(_SlowBase(postgres_url)) as one,
        opened(_SlowBase(postgres_url)) as two,
        opened(PostgresBase(postgres_url)) as reader,
        trio.open_nursery() as nursery,
    ):
        feed = Feed(
            store=reader,
            broker=InProcessBroker(),
            frame=lambda _kind, ident, _: f"{ident} ".encode(),
        )
        await nursery.start(feed.run)
        async with feed.follow(Place(0), feed_module.EventFilter()) as pieces:
            nursery.start_soon(written, one, two)
            with trio.fail_after(60):
                while len(idents) < 4 * EACH * 5:
                    idents += (await anext(pieces)).decode().split()
        every = [event.cursor for event in await reader.list_events(limit=500)]
        nursery.cancel_scope.cancel()
    cursors = [int(ident.rpartition("-")[2]) for ident in idents]
    assert cursors == sorted(set(cursors))
    assert cursors[:500] == every
