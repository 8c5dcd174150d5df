"""What happens to a SQLite store when its files, its disk or its neighbours misbehave."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import structlog
import trio

from flowdapt.domain.errors import CorruptStore, StorageFull, StoreBusy, StoreUnwritable
from flowdapt.domain.records import RunChange
from flowdapt.ports.store import RunFilter
from flowdapt.services.clock import SystemClock
from flowdapt.stores import sqlite as driver
from flowdapt.stores.journal import beat
from flowdapt.stores.lanes import WriterLane
from flowdapt.stores.links import Tx
from flowdapt.stores.sqlite import SqliteLink, connect
from flowdapt.stores.sqlite_base import SqliteBase
from flowdapt.testing.store_records import ended_task, finish, inline, new_run

if TYPE_CHECKING:
    from tests.stores.conftest import Opening

pytestmark = pytest.mark.trio

PAGE = 4096


async def fill(opening: Opening, runs: int = 60) -> None:
    """Write enough for every kind of page: interior, leaf, index, overflow."""
    async with opening() as store:
        for at in range(runs):
            new = await store.submit(
                new_run(owner="me", name=f"run-{at}", input=inline("x" * 9000))
            )
            tasks = [ended_task("a", start, start + 1) for start in range(10, 50)]
            await store.commit(RunChange(new.run.uid, 1, tasks=tasks))
            await finish(store, new.run, new.stages, result=inline(at))


def pages_by_kind(database: Path) -> dict[int, int]:
    """Return a page of each b-tree kind by its type byte."""
    data = database.read_bytes()
    return {data[at]: at for at in range(PAGE, len(data), PAGE) if data[at] in (2, 5, 10, 13)}


def overwrite(database: Path, at: int, new: bytes) -> None:
    with database.open("r+b") as file:
        file.seek(at)
        file.write(new)


def flip(database: Path, at: int) -> None:
    overwrite(database, at, bytes([database.read_bytes()[at] ^ 0xFF]))


def cut_to(length: int) -> Callable[[Path], None]:
    return lambda database: os.truncate(database, length)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "the magic": lambda database: flip(database, 3),
    "the page size": lambda database: overwrite(database, 16, b"\x00\x03"),
    "the root of the schema": lambda database: flip(database, 100),
    "a zeroed header": lambda database: overwrite(database, 0, bytes(100)),
    "zeroed pages": lambda database: overwrite(database, PAGE, bytes(20 * PAGE)),
    "garbage": lambda database: overwrite(database, 0, os.urandom(30 * PAGE)),
    "half the file": lambda database: os.truncate(database, database.stat().st_size // 2),
    "an odd length": cut_to(3 * PAGE + 77),
    "an empty file": cut_to(0),
    **{
        f"the header of a page of kind {kind}": lambda database, kind=kind: flip(
            database, pages_by_kind(database)[kind]
        )
        for kind in (2, 5, 10, 13)
    },
    **{
        f"the cell count of a page of kind {kind}": lambda database, kind=kind: flip(
            database, pages_by_kind(database)[kind] + 3
        )
        for kind in (2, 5, 10, 13)
    },
}


@pytest.mark.parametrize("what", DAMAGES)
async def test_damage_is_found_moved_aside_and_told_with_the_newest_good_backup(
    opening: Opening, database: Path, what: str
) -> None:
    await fill(opening)
    async with opening() as store:
        backup = database.parent / "backups" / "flowdapt-20260101T000000.db"
        await store.backup(backup)
    DAMAGES[what](database)
    damaged = database.read_bytes()
    with pytest.raises(CorruptStore, match="damaged") as refusal:
        async with opening():
            pass
    error = refusal.value
    assert str(backup) in str(error)
    assert error.fix == f"flowdapt db restore {backup}"
    moved = Path(str(error.details["moved_to"])) / database.name
    assert moved.read_bytes()[:PAGE] == damaged[:PAGE]
    assert not database.exists()
    assert not database.with_name("flowdapt.db-wal").exists()


async def test_after_the_damage_was_told_a_start_begins_anew(
    opening: Opening, database: Path
) -> None:
    await fill(opening, 2)
    overwrite(database, 0, b"nonsense" * 20)
    with pytest.raises(CorruptStore, match="no good backup"):
        async with opening():
            pass
    async with opening() as store:
        assert (await store.list_runs(RunFilter())).items == []


async def test_a_database_that_vanished_is_told_of(opening: Opening, database: Path) -> None:
    await fill(opening, 2)
    database.unlink()
    with pytest.raises(CorruptStore):
        async with opening():
            pass


async def test_a_stop_that_was_not_clean_is_followed_by_the_full_check(
    opening: Opening, database: Path
) -> None:
    """An index that disagrees with its table passes the quick check only."""
    await fill(opening, 3)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        sql = "UPDATE sqlite_master SET sql = replace(sql, 'ON run (name)', 'ON run (workflow)')"
        assert connection.execute(f"{sql} WHERE name = 'ix_run_name'").rowcount == 1
        connection.commit()
    async with opening():
        pass
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE meta SET value = '0' WHERE key = 'clean_shutdown'")
        connection.commit()
    with pytest.raises(CorruptStore):
        async with opening():
            pass


DYING = """
import os, sys
from pathlib import Path
import trio
from flowdapt.services.clock import SystemClock
from flowdapt.stores.factory import create_store
from flowdapt.testing.store_records import finish, new_run

async def main():
    store = create_store("", data_dir=Path(sys.argv[1]), clock=SystemClock())
    await store.open()
    for _ in range(600):
        new = await store.submit(new_run(owner="me"))
        await finish(store, new.run, new.stages)
    os._exit(9)

trio.run(main)
"""


async def test_a_log_that_is_lost_after_a_kill_is_told_and_leaves_an_older_whole_state(
    opening: Opening, database: Path
) -> None:
    subprocess.run([sys.executable, "-c", DYING, database.parent], check=False, timeout=60)
    database.with_name("flowdapt.db-wal").unlink()
    with structlog.testing.capture_logs() as logs:
        async with opening() as store:
            assert await store.check() == []
            finished = (await store.info()).runs["finished"]
    # A checkpoint may have come right before the end.
    assert 0 < finished <= 600
    assert [line["event"] for line in logs] == ["the database's log is gone: commits may be lost"]


async def test_a_kill_alone_is_not_told_of_and_loses_nothing(
    opening: Opening, database: Path
) -> None:
    subprocess.run([sys.executable, "-c", DYING, database.parent], check=False, timeout=60)
    with structlog.testing.capture_logs() as logs:
        async with opening() as store:
            assert await store.check() == []
            assert (await store.info()).runs == {"finished": 600}
    assert logs == []


async def test_a_clean_stop_is_noted_and_leaves_no_log(opening: Opening, database: Path) -> None:
    async with opening() as store:
        await store.submit(new_run())
        with closing(sqlite3.connect(database)) as connection:
            flag = connection.execute("SELECT value FROM meta WHERE key = 'clean_shutdown'")
            assert flag.fetchone() == ("0",)
    with closing(sqlite3.connect(database)) as connection:
        flag = connection.execute("SELECT value FROM meta WHERE key = 'clean_shutdown'")
        assert flag.fetchone() == ("1",)


async def test_files_are_private_whatever_the_umask(opening: Opening, database: Path) -> None:
    old = os.umask(0)
    try:
        async with opening() as store:
            await store.submit(new_run())
            await store.backup(database.parent / "backups" / "flowdapt-1.db")
            modes = {
                path.name: stat.S_IMODE(path.stat().st_mode)
                for path in database.parent.rglob("*")
                if path.is_file()
            }
    finally:
        os.umask(old)
    assert set(modes.values()) == {0o600}, modes
    assert stat.S_IMODE((database.parent / "backups").stat().st_mode) == 0o700


async def test_a_place_that_cannot_be_written_refuses_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnwritable):
        SqliteBase(tmp_path / "file" / "flowdapt.db", SystemClock()).open()
    (tmp_path / "link.db").symlink_to(tmp_path / "elsewhere.db")
    with pytest.raises(StoreUnwritable):
        SqliteBase(tmp_path / "link.db", SystemClock()).open()


# -- somebody else holds the lock ------------------------------------------------------------------


async def hold_lock(database: Path, seconds: float, *, task_status: trio.TaskStatus[None]) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        task_status.started()
        await trio.sleep(seconds)
        connection.execute("ROLLBACK")


async def test_a_lock_that_is_held_shortly_is_not_seen(opening: Opening, database: Path) -> None:
    async with opening() as store, trio.open_nursery() as nursery:

        async def hold(task_status: trio.TaskStatus[None]) -> None:
            await hold_lock(database, 0.3, task_status=task_status)

        await nursery.start(hold)
        assert (await store.submit(new_run())).created


async def test_a_lock_that_is_held_long_is_told_and_heals(
    opening: Opening, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "BUSY_TIMEOUT_S", 0.2)
    async with opening() as store:
        async with trio.open_nursery() as nursery:

            async def hold(task_status: trio.TaskStatus[None]) -> None:
                await hold_lock(database, 1.0, task_status=task_status)

            await nursery.start(hold)
            with pytest.raises(StoreBusy, match="write lock"):
                await store.submit(new_run())
            assert (await store.list_runs(RunFilter())).items == []
        assert (await store.submit(new_run())).created


# -- no space ------------------------------------------------------------------------------------------


class SmallDisk:
    """A writer lane on a database that may not grow."""

    def __init__(self, database: Path) -> None:
        self.reserve = database.with_name("reserve")
        self.link = SqliteLink(database, lambda: 1, reserve=self.reserve)
        self.lane = WriterLane()
        self.lane.start(self.link)

    def limit(self, more_pages: int) -> None:
        connection = self.link._connection
        used = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={used + more_pages}")


def large(tx: Tx) -> None:
    beat(tx, os.urandom(8).hex(), {"x": "y" * 100_000})


async def test_a_full_disk_refuses_whole_gives_up_the_reserve_and_heals(
    opening: Opening, database: Path
) -> None:
    async with opening():
        pass
    disk = SmallDisk(database)
    assert disk.reserve.stat().st_size == driver.RESERVE_BYTES
    try:
        disk.limit(2)
        with pytest.raises(StorageFull):
            await disk.lane.write(large, durable=True)
        assert not disk.reserve.exists()
        await disk.lane.write(lambda tx: beat(tx, "small", {}), durable=True)
        with closing(connect(database)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert connection.execute("SELECT owner FROM service").fetchall() == [("small",)]
        disk.limit(1000)
        await disk.lane.write(large, durable=True)
    finally:
        await disk.lane.stop()


async def test_the_space_of_the_reserve_saves_the_write_that_needed_it(
    opening: Opening, database: Path
) -> None:
    async with opening():
        pass
    disk = SmallDisk(database)
    given_up = disk.link._free_reserve

    def free_and_grow() -> bool:
        freed = given_up()
        disk.limit(1000)
        return freed

    disk.link._free_reserve = free_and_grow  # type: ignore[method-assign] # what unlinking does on a real disk
    try:
        disk.limit(2)
        await disk.lane.write(large, durable=True)
        assert not disk.reserve.exists()
    finally:
        await disk.lane.stop()


# -- readers and the log -------------------------------------------------------------------------------


async def test_the_log_stays_small_under_readers(opening: Opening, database: Path) -> None:
    log, largest = database.with_name("flowdapt.db-wal"), 0
    async with opening() as store:
        run = (await store.submit(new_run(owner="me"))).run
        async with trio.open_nursery() as nursery:

            async def read() -> None:
                while True:
                    await store.load_run(run.uid)
                    await store.list_runs(RunFilter(), limit=500)

            for _ in range(6):
                nursery.start_soon(read)
            for at in range(1600):
                task = ended_task("a", at % 8, 2000, value=inline("x" * 60_000))
                await store.commit(RunChange(run.uid, 1, tasks=[task]))
                largest = max(largest, log.stat().st_size)
            nursery.cancel_scope.cancel()
    assert largest <= 64 * 1024 * 1024, largest


async def test_a_reader_that_stays_does_not_stop_the_writer(
    opening: Opening, database: Path
) -> None:
    async with opening() as store:
        with closing(sqlite3.connect(database, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM run").fetchone()
            with trio.fail_after(20):
                for _ in range(900):
                    await store.beat("me", {"x": "y" * 2000})
            with suppress(sqlite3.Error):
                reader.execute("ROLLBACK")
        assert await store.check() == []
