"""What is forgotten and what is kept: runs by age and number, orphans, backups."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
import trio

from flowdapt.domain.errors import Conflict, StorageFull
from flowdapt.domain.names import new_uid
from flowdapt.domain.records import NewRun, RunRecord
from flowdapt.domain.run import RunState
from flowdapt.ports.store import RunFilter, Store
from flowdapt.services.retention import Backups, Keeping, Retention
from flowdapt.stores.factory import create_store
from flowdapt.testing import FakeClock, MemoryLogs, MemoryValues, json_value

pytestmark = pytest.mark.trio
DAY = 86400.0


class Values(MemoryValues):
    """Values that know of run directories."""

    def __init__(self, *runs: str) -> None:
        super().__init__()
        self.directories = set(runs)

    async def delete_run(self, run: str) -> None:
        self.directories.discard(run)

    async def orphans(self, known: object, *, older_than_s: float) -> list[str]:
        return sorted(self.directories)


async def ended(store: Store, clock: FakeClock, workflow: str, days_ago: float) -> str:
    """Store a run that has ended so many days ago."""
    uid = new_uid()
    at = clock.now() - timedelta(days=days_ago)
    run = RunRecord(
        uid, uid, workflow, 1, RunState.CANCELLED, "api", "default", "local", "{}", "{}",
        json_value({}), at, started_at=at, finished_at=at,
    )  # fmt: skip
    await store.submit(NewRun(run, [], []))
    return uid


async def uids(store: Store) -> set[str]:
    return {run.uid for run in (await store.list_runs(RunFilter(), limit=500)).items}


class Place:
    def __init__(self, keeping: Keeping, backups: Backups | None = None) -> None:
        self.clock = FakeClock()
        self.store = create_store("memory://", data_dir=Path(), clock=self.clock)
        self.values, self.logs = Values(), MemoryLogs()
        self.retention = Retention(
            store=self.store, values=self.values, logs=self.logs, clock=self.clock,
            keeping=keeping, backups=backups,
        )  # fmt: skip


async def test_old_runs_go_and_the_newest_of_each_workflow_stay(autojump_clock: object) -> None:
    place = Place(Keeping(max_age_s=30 * DAY, per_workflow=2))
    await place.store.open()
    old = [await ended(place.store, place.clock, "a", 50 - n) for n in range(5)]
    young = await ended(place.store, place.clock, "a", 1)
    lonely = await ended(place.store, place.clock, "b", 100)
    told = await place.retention.collect(dry_run=True)
    assert (told["runs"], await uids(place.store)) == (4, {*old, young, lonely})
    assert (await place.retention.collect())["runs"] == 4
    assert await uids(place.store) == {old[-1], young, lonely}


async def test_orphaned_files_go_and_those_of_runs_stay(autojump_clock: object) -> None:
    place = Place(Keeping())
    await place.store.open()
    kept = await ended(place.store, place.clock, "a", 1)
    place.values.directories = {kept, "f" * 32}
    assert (await place.retention.collect(dry_run=True))["orphans"] == 1
    assert place.values.directories == {kept, "f" * 32}
    assert (await place.retention.collect())["orphans"] == 1
    assert place.values.directories == {kept}


def backups(folder: Path, written: list[Path]) -> Backups:
    def new_file(now: datetime) -> Path:
        return folder / f"{now:%Y%m%dT%H%M}.db"

    async def newest() -> float | None:
        return _time_of(written[-1]) if written else None

    async def prune() -> None:
        del written[:-2]

    return Backups(new_file, newest, prune)


def _time_of(path: Path) -> float:
    return datetime.strptime(path.stem + "+0000", "%Y%m%dT%H%M%z").timestamp()


async def test_a_backup_is_written_every_day_and_few_are_kept(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []
    place = Place(Keeping(), backups(Path("/b"), written))
    await place.store.open()

    async def write(target: Path) -> int:
        written.append(target)
        return 1

    monkeypatch.setattr(place.store, "backup", write)
    async with trio.open_nursery() as nursery:
        await nursery.start(place.retention.run)
        await trio.sleep(3.5 * DAY)
        nursery.cancel_scope.cancel()
    assert len(written) == 2
    days = {path.stem[:8] for path in written}
    assert len(days) == 2


async def test_a_full_disk_puts_upkeep_off(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(Keeping(max_age_s=DAY, per_workflow=0))
    await place.store.open()
    await ended(place.store, place.clock, "a", 5)
    delete, tries = place.store.delete_expired, []

    async def full_at_first(**given: object) -> list[str]:
        tries.append(1)
        if len(tries) == 1:
            raise StorageFull("no space")
        return await delete(**given)  # type: ignore[arg-type]  # passed on as it came

    monkeypatch.setattr(place.store, "delete_expired", full_at_first)
    async with trio.open_nursery() as nursery:
        await nursery.start(place.retention.run)
        await trio.sleep(3 * 3600)
        nursery.cancel_scope.cancel()
    assert await uids(place.store) == set()


async def test_another_database_is_backed_up_by_its_own_tools(autojump_clock: object) -> None:
    place = Place(Keeping())
    with pytest.raises(Conflict, match="not backed up"):
        await place.retention.backup()
