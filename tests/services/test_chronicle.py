"""The daemon's own life in the journal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from flowdapt.domain.errors import Unavailable
from flowdapt.domain.events import (
    DAEMON_STARTED,
    DAEMON_STOPPED,
    DRAIN_BEGAN,
    DRAIN_ENDED,
    Event,
    EventDraft,
)
from flowdapt.plugins.brokers.inprocess import InProcessBroker
from flowdapt.ports.broker import EVENT_ADDED
from flowdapt.services.chronicle import Chronicle
from flowdapt.services.given import GivenExecutors
from flowdapt.services.health import About, DiskWatch, Health
from flowdapt.stores.memory import MemoryStore
from flowdapt.testing import FakeClock, FakeExecutor

pytestmark = pytest.mark.trio


class DeadStore(MemoryStore):
    """A store that takes no event, at once or after any time."""

    def __init__(self, clock: FakeClock, *, hangs: bool) -> None:
        super().__init__(clock)
        self._hangs = hangs

    async def add_event(self, event: EventDraft) -> Event:
        if self._hangs:
            await trio.sleep_forever()
        raise Unavailable("the database is away")


@asynccontextmanager
async def told(store: MemoryStore, broker: InProcessBroker) -> AsyncIterator[Health]:
    """Serve a chronicle; yield the health it watches."""
    about = About("1.2.3", "/s", "memory", "inprocess", "file:", "/d", None)
    health = Health(
        about, store=store, clock=FakeClock(), executors=GivenExecutors({"local": FakeExecutor()}),
        disk=DiskWatch(Path("/"), warn_bytes=0, min_bytes=0),
    )  # fmt: skip
    chronicle = Chronicle(store=store, broker=broker, health=health, owner="me")
    async with trio.open_nursery() as nursery:
        await nursery.start(chronicle.run)
        await wait_all_tasks_blocked()
        yield health
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


async def test_the_life_of_a_daemon_is_told_from_start_to_end() -> None:
    store = MemoryStore(FakeClock())
    async with told(store, InProcessBroker()) as health:
        health.draining = True
        await wait_all_tasks_blocked()
        health.draining = False
        await wait_all_tasks_blocked()
        health.draining = True
    events = await store.list_events()
    assert [event.type for event in events] == [
        DAEMON_STARTED, DRAIN_BEGAN, DRAIN_ENDED, DRAIN_BEGAN, DAEMON_STOPPED,
    ]  # fmt: skip
    assert events[0].data["owner"] == "me"
    assert events[0].data["version"] == "1.2.3"


async def test_what_is_told_wakes_readers() -> None:
    broker = InProcessBroker()
    async with broker.subscribe(EVENT_ADDED) as hints, told(MemoryStore(FakeClock()), broker):
        assert (await anext(hints)).key == DAEMON_STARTED


@pytest.mark.parametrize("hangs", [True, False])
async def test_a_store_that_takes_nothing_holds_up_no_end(
    hangs: bool, autojump_clock: object
) -> None:
    with trio.fail_after(10):
        async with told(DeadStore(FakeClock(), hangs=hangs), InProcessBroker()) as health:
            health.draining = True
