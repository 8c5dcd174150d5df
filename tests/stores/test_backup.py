"""Backups: whole, private, few, and a restore that everybody notices."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from flowdapt.domain.errors import CorruptStore, NotFound
from flowdapt.ports.store import RunFilter
from flowdapt.stores.backup import file_name, list_backups, newest_good, prune, restore
from flowdapt.testing.store_records import finish, new_run

if TYPE_CHECKING:
    from tests.stores.conftest import Opening

pytestmark = pytest.mark.trio


async def test_a_backup_under_load_is_a_consistent_moment(opening: Opening, tmp_path: Path) -> None:
    target = tmp_path / "copies" / "flowdapt-1.db"
    async with opening() as store:
        stopped = trio.Event()

        async def load() -> None:
            while not stopped.is_set():
                new = await store.submit(new_run(owner="me"))
                await finish(store, new.run, new.stages)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(load)
            for _ in range(3):
                size = await store.backup(target)
            stopped.set()
    assert size == target.stat().st_size
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    with closing(sqlite3.connect(target)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        torn = connection.execute(
            "SELECT count(*) FROM run WHERE next_seq - 1 <> "
            "(SELECT count(*) FROM event WHERE run_id = run.id)"
        ).fetchone()
    assert torn == (0,)


async def test_a_restore_brings_the_rows_back_under_a_new_incarnation(
    opening: Opening, database: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "flowdapt-1.db"
    async with opening() as store:
        kept = (await store.submit(new_run())).run
        first = await store.info()
        await store.backup(copy)
        later = (await store.submit(new_run())).run
    restore(copy, database)
    async with opening() as store:
        uids = [run.uid for run in (await store.list_runs(RunFilter())).items]
        second = await store.info()
        assert await store.check() == []
    assert uids == [kept.uid]
    assert second.incarnation != first.incarnation
    assert stat.S_IMODE(database.stat().st_mode) == 0o600
    aside = database.with_name("flowdapt.db.before-restore")
    with closing(sqlite3.connect(aside)) as connection:
        found = connection.execute("SELECT uid FROM run ORDER BY id").fetchall()
    assert found == [(kept.uid,), (later.uid,)]


async def test_a_bad_backup_is_never_restored(
    opening: Opening, database: Path, tmp_path: Path
) -> None:
    async with opening() as store:
        await store.submit(new_run())
    before = database.read_bytes()
    bad = tmp_path / "bad.db"
    bad.write_bytes(b"SQLite format 3\0" + b"\0" * 4096)
    with pytest.raises(CorruptStore):
        restore(bad, database)
    with pytest.raises(NotFound):
        restore(tmp_path / "missing.db", database)
    assert database.read_bytes() == before


async def test_the_newest_backup_that_is_whole_is_found(opening: Opening, tmp_path: Path) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    names = [tmp_path / file_name(now + timedelta(days=day)) for day in range(3)]
    async with opening() as store:
        await store.backup(names[0])
        await store.backup(names[1])
    names[2].write_bytes(names[1].read_bytes()[:-4096])
    assert list_backups(tmp_path) == names[::-1]
    assert newest_good(tmp_path) == names[1]
    assert prune(tmp_path, keep=2) == [names[0]]
    assert list_backups(tmp_path) == [names[2], names[1]]
