"""A PostgreSQL server that crashes and comes back under load costs patience, never a run."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
import trio

from flowdapt.domain.errors import Unavailable
from flowdapt.domain.run import RunState
from flowdapt.ports.store import RunFilter
from flowdapt.services.clock import SystemClock
from flowdapt.stores.postgres_base import PostgresBase
from flowdapt.stores.sql import SqlStore
from flowdapt.testing.store_records import finish, new_run, progress
from tests.postgres import running_cluster

pytestmark = [pytest.mark.trio, pytest.mark.faults]

T = TypeVar("T")
CRASHES = 10
CLOCK = SystemClock()


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Repeat until the database answers; a refused write changed nothing."""
    while True:
        try:
            return await call()
        except Unavailable:
            await CLOCK.sleep(0.05)


async def test_crashes_of_the_server_lose_nothing() -> None:
    with running_cluster() as cluster:
        store = SqlStore(PostgresBase(cluster.new_database()))
        await store.open()
        done: list[str] = []
        over = trio.Event()
        tell, ended = trio.open_memory_channel[None](10_000)

        async def drive(name: str) -> None:
            at = 0
            while not over.is_set():
                at += 1
                key = f"{name}-{at}"
                new = await patiently(lambda key=key: store.submit(new_run(owner="me", key=key)))
                change = progress(new.run, new.stages[0])
                await patiently(lambda change=change: store.commit(change))
                before = new.run.next_seq

                async def end(new=new, before=before) -> None:
                    new.run.next_seq = before
                    await finish(store, new.run, new.stages)

                await patiently(end)
                done.append(new.run.uid)
                await tell.send(None)

        async with trio.open_nursery() as nursery:
            for at in range(6):
                nursery.start_soon(drive, f"driver-{at}")
            for _ in range(CRASHES):
                with trio.fail_after(60):
                    for _ in range(20):
                        await ended.receive()
                await trio.to_thread.run_sync(lambda: cluster.stop(how=signal.SIGQUIT))
                await trio.to_thread.run_sync(cluster.start)
            over.set()
        runs, cursor = [], None
        while True:
            page = await store.list_runs(RunFilter(), cursor=cursor, limit=500)
            runs += page.items
            if (cursor := page.next) is None:
                break
        assert {run.uid for run in runs} == set(done)
        assert len(runs) == len(done) == len({run.idempotency_key for run in runs})
        assert {run.state for run in runs} == {RunState.FINISHED}
        assert await store.check() == []
        await store.close()
