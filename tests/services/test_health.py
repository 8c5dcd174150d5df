"""The daemon's own state: what it says of disk, executors and services."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
import trio

from flowdapt.services import health
from flowdapt.services.given import GivenExecutors
from flowdapt.services.health import DISK_LOW, DISK_RECOVERED, About, DiskWatch, Health
from flowdapt.stores.factory import create_store
from flowdapt.stores.memory import MemoryStore
from flowdapt.testing import FakeClock, FakeExecutor


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.mark.trio
async def test_low_disk_is_told_once_and_its_recovery_too(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 1000
    monkeypatch.setattr(health.shutil, "disk_usage", lambda _path: Usage(9999, 0, free))
    clock = FakeClock()
    store = create_store("memory://", data_dir=Path(), clock=clock)
    await store.open()
    state = Health(
        About("0", "/s", "memory", "inprocess", "file:", "/", None), store=store, clock=clock,
        executors=GivenExecutors({"local": FakeExecutor()}),
        disk=DiskWatch(Path("/"), warn_bytes=500, min_bytes=100),
    )  # fmt: skip
    async with trio.open_nursery() as nursery:
        await nursery.start(state.run)
        await trio.sleep(100)
        assert state.warnings() == []
        free = 400
        await trio.sleep(100)
        assert "free" in state.warnings()[0]
        free = 2000
        await trio.sleep(100)
        assert state.warnings() == []
        nursery.cancel_scope.cancel()
    assert [event.type for event in await store.list_events()] == [DISK_LOW, DISK_RECOVERED]


class Measured(MemoryStore):
    """A store that tells how often its size was asked for."""

    asked = 0
    trouble: Exception | None = None

    async def size_bytes(self) -> int:
        self.asked += 1
        if self.trouble is not None:
            raise self.trouble
        return 1000 * self.asked


@pytest.mark.trio
async def test_the_size_of_the_database_is_measured_now_and_then_however_often_it_is_asked_for(
    autojump_clock: object,
) -> None:
    clock = FakeClock()
    store = Measured(clock)
    state = Health(
        About("0", "/s", "memory", "inprocess", "file:", "/", None), store=store, clock=clock,
        executors=GivenExecutors({"local": FakeExecutor()}),
        disk=DiskWatch(Path("/"), warn_bytes=0, min_bytes=0),
    )  # fmt: skip

    async def told() -> list[int | None]:
        return [(await state.status())["database_bytes"] for _ in range(3)]

    assert await told() == [1000, 1000, 1000]
    await trio.sleep(60)
    assert await told() == [2000, 2000, 2000]
    store.trouble = OSError("the disk is ill")
    await trio.sleep(60)
    assert await told() == [None, None, None]


def test_new_work_needs_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health.shutil, "disk_usage", lambda _path: Usage(9999, 0, 100))
    assert DiskWatch(Path("/"), warn_bytes=0, min_bytes=100).has_room()
    assert not DiskWatch(Path("/"), warn_bytes=0, min_bytes=101).has_room()
