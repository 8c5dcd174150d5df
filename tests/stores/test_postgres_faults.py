"""What happens to a PostgreSQL store when its connections, locks or the server misbehave."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import trio

from flowdapt.domain.errors import InvalidInput, StartRefused, StoreBusy
from flowdapt.domain.run import RunState
from flowdapt.ports.store import RunFilter, Store
from flowdapt.stores import postgres
from flowdapt.stores.journal import beat
from flowdapt.stores.lanes import WriterLane
from flowdapt.stores.links import Link, Tx
from flowdapt.stores.postgres import PostgresLink
from flowdapt.stores.postgres_base import PostgresBase
from flowdapt.stores.sql import SqlStore
from flowdapt.testing.store_records import finish, new_run, progress

pytestmark = pytest.mark.trio


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    store = SqlStore(PostgresBase(url))
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def end_sessions(url: str) -> None:
    """Terminate every session but this one, as an administrator or a crash of the server would."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


async def test_terminated_sessions_are_not_noticed(postgres_url: str) -> None:
    async with opened(postgres_url) as store:
        for _ in range(4):
            new = await store.submit(new_run(owner="me"))
            await trio.to_thread.run_sync(end_sessions, postgres_url)
            await store.commit(progress(new.run, new.stages[0]))
            await trio.to_thread.run_sync(end_sessions, postgres_url)
            await finish(store, new.run, new.stages)
            await trio.to_thread.run_sync(end_sessions, postgres_url)
            assert (await store.get_run(new.run.uid)).state is RunState.FINISHED
        assert len((await store.list_runs(RunFilter())).items) == 4
        assert await store.check() == []


class _CutLink(PostgresLink):
    """Loses its connection at a commit: before the server got it, or after."""

    def __init__(self, url: str, *, arrives: bool) -> None:
        super().__init__(url)
        self._arrives = arrives
        self.cuts = 1

    def commit(self) -> None:
        if self.cuts == 0:
            super().commit()
            return
        self.cuts -= 1
        self._committing = True
        connection = self._alive()
        if self._arrives:
            connection.execute("COMMIT")
        connection.close()
        raise psycopg.OperationalError("the reply was lost")


@pytest.mark.parametrize("arrives", [True, False])
async def test_a_lost_reply_to_a_commit_is_resolved_by_asking(
    postgres_url: str, arrives: bool
) -> None:
    async with opened(postgres_url) as store:
        lane = WriterLane()
        lane.start(_CutLink(postgres_url, arrives=arrives))
        calls = 0

        def work(tx: Tx) -> int:
            nonlocal calls
            calls += 1
            return tx.execute(
                "INSERT INTO event (id, time, type, source, subject, causation_depth, data) "
                "VALUES ('x', 1, 't', 's', 's', 0, '{}')"
            )

        assert await lane.write(work, durable=True) == 1
        await lane.stop()
        assert calls == (1 if arrives else 2)
        assert len(await store.list_events()) == 1


async def test_a_group_shares_the_answer_about_a_lost_reply(postgres_url: str) -> None:
    async with opened(postgres_url) as store:
        lane = WriterLane()
        lane.start(_CutLink(postgres_url, arrives=True))
        owners = [f"owner-{at}" for at in range(10)]

        async with trio.open_nursery() as nursery:
            for owner in owners:
                work = _beating(owner)
                nursery.start_soon(lambda work=work: lane.write(work, durable=True))
        await lane.stop()
        for owner in owners:
            await store.submit(new_run(owner=owner))
        assert await store.dead_owners(lease_s=60, but="") == []


def _beating(owner: str) -> Any:
    return lambda tx: beat(tx, owner, {})


@pytest.mark.parametrize("state", ["40001", "40P01"])
async def test_failures_that_pass_are_tried_again(
    postgres_url: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_pause", lambda attempt: None)
    async with opened(postgres_url) as store:
        lane = WriterLane()
        lane.start(PostgresLink(postgres_url))
        calls = 0

        def work(tx: Tx) -> None:
            nonlocal calls
            calls += 1
            if calls <= 3:
                raising = f"RAISE EXCEPTION 'injected' USING ERRCODE = '{state}'"
                tx.execute(f"DO $$ BEGIN {raising}; END $$")
            beat(tx, "me", {})

        await lane.write(work, durable=True)
        await lane.stop()
        assert calls == 4
        await store.submit(new_run(owner="me"))
        assert await store.dead_owners(lease_s=60, but="") == []


async def test_two_daemons_in_a_deadlock_both_succeed(postgres_url: str) -> None:
    async with opened(postgres_url) as one, opened(postgres_url) as two:
        runs = [(await one.submit(new_run(owner="me"))).run for _ in range(2)]

        def crossing(first: int, second: int, gate: Any) -> Any:
            def work(tx: Tx) -> None:
                lock = "UPDATE run SET priority = priority + 1 WHERE uid = %s"
                tx.execute(lock, (runs[first].uid,))
                gate()
                tx.execute(lock, (runs[second].uid,))

            return work

        both = _Meeting(2)
        async with trio.open_nursery() as nursery:
            for store, order in ((one, (0, 1)), (two, (1, 0))):
                assert isinstance(store, SqlStore)
                work = crossing(*order, both.meet)
                nursery.start_soon(
                    lambda store=store, work=work: store._writer.write(work, durable=True)
                )
        assert [(await one.get_run(run.uid)).priority for run in runs] == [2, 2]


class _Meeting:
    """Threads that wait for each other, the first time only."""

    def __init__(self, parties: int) -> None:
        import threading

        self._barrier = threading.Barrier(parties)
        self._left = parties

    def meet(self) -> None:
        if self._left > 0:
            self._left -= 1
            self._barrier.wait(timeout=10)


async def test_a_lock_of_another_session_is_told_and_heals(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = "-c statement_timeout=15000 -c lock_timeout=200"
    monkeypatch.setitem(postgres.SETTINGS, "options", options)
    async with opened(postgres_url) as store:
        new = await store.submit(new_run(owner="me"))
        with psycopg.connect(postgres_url) as stranger:
            stranger.execute("SELECT 1 FROM run WHERE uid = %s FOR UPDATE", (new.run.uid,))
            with pytest.raises(StoreBusy):
                await store.commit(progress(new.run, new.stages[0]))
            new.run.next_seq -= 1
            stranger.rollback()
        await store.commit(progress(new.run, new.stages[0]))


async def test_two_stores_on_one_database_share_claims_and_keys(postgres_url: str) -> None:
    async with opened(postgres_url) as one, opened(postgres_url) as two:
        answers = []

        async def submit(store: Store) -> None:
            answers.append(await store.submit(new_run(key="k")))

        async with trio.open_nursery() as nursery:
            for at in range(10):
                nursery.start_soon(submit, (one, two)[at % 2])
        assert sum(answer.created for answer in answers) == 1
        for _ in range(19):
            await one.submit(new_run("narrow", limit=(30, "queue")))
        claimed: list[str] = []

        async def claim(store: Store, owner: str) -> None:
            claimed.extend(run.run.uid for run in await store.claim(owner, limit=20))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(claim, one, "one")
            nursery.start_soon(claim, two, "two")
        claimed += [run.run.uid for run in await one.claim("one", limit=20)]
        assert len(claimed) == len(set(claimed)) == 20
        assert await one.check() == []


async def test_a_server_that_is_not_there_refuses_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartRefused, match="cannot be reached"):
        await SqlStore(PostgresBase(f"postgresql://u:secret@/db?host={tmp_path}")).open()


async def test_a_password_is_not_told(postgres_url: str) -> None:
    base = PostgresBase("postgresql://me:secret@db.example:5432/flow?sslmode=require")
    assert "secret" not in base.url
    assert "db.example" in base.url


async def test_a_url_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(StartRefused):
        PostgresBase("postgresql://host/db?no_such_option=1")


async def test_backups_are_left_to_the_server(postgres_url: str, tmp_path: Path) -> None:
    async with opened(postgres_url) as store:
        with pytest.raises(InvalidInput, match="own tools"):
            await store.backup(tmp_path / "x.db")


async def test_progress_waits_for_the_disk_since_a_server_may_crash_alone(
    postgres_url: str,
) -> None:
    async with opened(postgres_url):
        link: Link = PostgresLink(postgres_url)
        for durable in (True, False):
            tx = link.begin(durable=durable)
            assert tx.select("SHOW synchronous_commit") == [("on",)]
            link.commit()
        link.close()
