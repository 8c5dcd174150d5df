"""A disk that really fills, at many points of many writes: nothing breaks and work goes on."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from flowdapt.domain.errors import StorageFull
from flowdapt.ports.store import RunFilter
from flowdapt.services.clock import SystemClock
from flowdapt.stores.factory import create_store
from flowdapt.stores.sqlite import connect
from flowdapt.testing.store_records import finish, inline, new_run
from tests.lacking import lacking

pytestmark = [pytest.mark.trio, pytest.mark.faults]

PAGE = 4096

OPEN = frozenset({"queued", "running", "cancelling"})


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB: the reserve fits, and little beside it."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        raise lacking("mounting a small file system needs rights that this user does not have")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def fill_but(place: Path, free_bytes: int) -> Path:
    """Take all room but so much; the store's own threads may take some of it meanwhile."""
    filler = place / "filler"
    with filler.open("wb") as file:
        while True:
            disk = os.statvfs(place)
            length = disk.f_bavail * disk.f_frsize - free_bytes
            if length <= 0:
                return filler
            try:
                os.posix_fallocate(file.fileno(), 0, length)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
            else:
                return filler


async def test_no_space_at_two_hundred_points_harms_nothing(small_disk: Path) -> None:
    database = small_disk / "flowdapt.db"
    store = create_store("", data_dir=small_disk, clock=SystemClock())
    await store.open()
    assert (small_disk / "reserve").exists()
    accepted: list[str] = []
    refusals = 0
    for point in range(200):
        filler = fill_but(small_disk, point % 50 * PAGE)
        try:
            for _ in range(6):
                new = await store.submit(new_run(owner="me", input=inline("x" * 30_000)))
                accepted.append(new.run.uid)
                await finish(store, new.run, new.stages)
        except StorageFull:
            refusals += 1
        found = {run.uid for run in (await store.list_runs(RunFilter(), limit=500)).items}
        assert set(accepted) <= found, "an accepted run is lost, or reading failed"
        filler.unlink()
        again = await store.submit(new_run(owner="me"))
        await finish(store, again.run, again.stages)
        with closing(connect(database)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        for run in (await store.list_runs(RunFilter(), limit=500)).items:
            if run.state.terminal:
                await store.delete_run(run.uid)
        page = await store.list_runs(RunFilter(states=OPEN), limit=500)
        accepted = [run.uid for run in page.items]
        assert page.next is None
    assert refusals > 50, "the disk was never full"
    assert not (small_disk / "reserve").exists(), "the reserve was not given up"
    assert [line for line in await store.check() if "event" in line] == []
    await store.close()
    store = create_store("", data_dir=small_disk, clock=SystemClock())
    await store.open()
    await store.close()
