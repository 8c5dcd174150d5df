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


def test_new_work_needs_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health.shutil, "disk_usage", lambda _path: Usage(9999, 0, 100))
    assert DiskWatch(Path("/"), warn_bytes=0, min_bytes=100).has_room()
    assert not DiskWatch(Path("/"), warn_bytes=0, min_bytes=101).has_room()
