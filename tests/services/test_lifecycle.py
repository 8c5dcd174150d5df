"""The life of a daemon on a virtual clock: order of start, drains, second thoughts, failures."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

from flowdapt.domain.errors import Conflict, StoreBusy
from flowdapt.services.given import GivenExecutors
from flowdapt.services.health import About, DiskWatch, Health
from flowdapt.services.lifecycle import Lifecycle, the_one
from flowdapt.services.retention import Keeping, Retention
from flowdapt.stores.factory import create_store
from flowdapt.testing import FakeClock, FakeExecutor, MemoryLogs, MemoryValues

pytestmark = pytest.mark.trio


class Work:
    """Compute's part in a drain: work that ends by itself after `seconds`."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.told: list[str] = []

    async def drain(self, timeout_s: float) -> None:
        self.told.append(f"drain {timeout_s:g}")
        with trio.move_on_after(timeout_s):
            await trio.sleep(self.seconds)

    def resume(self) -> None:
        self.told.append("resume")


class Quiet:
    """A trigger service that notes whether it may fire."""

    quiet = False

    def drain(self) -> None:
        self.quiet = True

    def resume(self) -> None:
        self.quiet = False


class Stage:
    """A lifecycle with everything around it."""

    def __init__(self, seconds: float = 0.0) -> None:
        clock = FakeClock()
        self.store = create_store("memory://", data_dir=Path(), clock=clock)
        self.work = Work(seconds)
        self.quiet = Quiet()
        self.closed = False
        executors = GivenExecutors({"local": FakeExecutor()})
        about = About("0", "/s", "memory", "inprocess", "file:", "/", None)
        self.health = Health(
            about, store=self.store, clock=clock, executors=executors,
            disk=DiskWatch(Path("/"), warn_bytes=0, min_bytes=0),
        )  # fmt: skip
        retention = Retention(
            store=self.store, values=MemoryValues(), logs=MemoryLogs(), clock=clock,
            keeping=Keeping(),
        )  # fmt: skip
        self.lifecycle = Lifecycle(
            store=self.store, compute=self.work, triggers=self.quiet, health=self.health,
            retention=retention, owner="me", drain_timeout_s=60.0, close_files=self._close,
        )  # fmt: skip
        self.started: list[str] = []
        self.ended: list[str] = []

    def _close(self) -> None:
        self.closed = True

    def service(self, name: str, *, fails_after: float | None = None):  # type: ignore[no-untyped-def]  # a nursery takes it
        async def run(*, task_status: trio.TaskStatus[None]) -> None:
            self.started.append(name)
            task_status.started()
            try:
                if fails_after is not None:
                    await trio.sleep(fails_after)
                    raise RuntimeError(f"{name} failed")
                await trio.sleep_forever()
            finally:
                self.ended.append(name)

        return name, run


async def running(stage: Stage, nursery: trio.Nursery, *names: str) -> None:
    services = [stage.service(name) for name in names or ("one",)]
    nursery.start_soon(stage.lifecycle.run, services)
    await trio.testing.wait_all_tasks_blocked()
    assert stage.health.ready


async def test_services_start_in_order_and_all_end(autojump_clock: object) -> None:
    stage = Stage()
    async with trio.open_nursery() as nursery:
        await running(stage, nursery, "broker", "compute", "api")
        assert stage.started == ["broker", "compute", "api"]
        assert set(stage.health.services.values()) == {"running"}
        stage.lifecycle.drain(now=False)
    assert sorted(stage.ended) == ["api", "broker", "compute"]
    assert stage.closed
    assert not stage.health.ready


async def test_a_drain_waits_for_work(autojump_clock: object) -> None:
    stage = Stage(seconds=40)
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        await running(stage, nursery)
        stage.lifecycle.drain(now=False)
        assert stage.health.draining
    assert 40 <= trio.current_time() - began < 42
    assert stage.work.told[0] == "drain 60"


async def test_a_drain_does_not_wait_for_ever(autojump_clock: object) -> None:
    stage = Stage(seconds=1e6)
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        await running(stage, nursery)
        stage.lifecycle.drain(now=False)
    assert trio.current_time() - began < 65


@pytest.mark.parametrize("already_draining", [True, False])
async def test_now_means_now(autojump_clock: object, already_draining: bool) -> None:
    stage = Stage(seconds=1e6)
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        await running(stage, nursery)
        if already_draining:
            stage.lifecycle.drain(now=False)
            await trio.testing.wait_all_tasks_blocked()
        stage.lifecycle.drain(now=True)
    assert trio.current_time() - began < 1
    assert stage.work.told[-1] == "drain 0"


async def test_a_drain_can_be_taken_back(autojump_clock: object) -> None:
    stage = Stage(seconds=50)
    async with trio.open_nursery() as nursery:
        await running(stage, nursery)
        stage.lifecycle.drain(now=False)
        await trio.sleep(1)
        stage.lifecycle.undrain()
        await trio.sleep(1)
        assert stage.work.told == ["drain 60", "resume"]
        assert stage.health.takes_work
        stage.lifecycle.drain(now=False)
        await trio.testing.wait_all_tasks_blocked()
        assert stage.health.draining
    assert stage.closed


async def test_an_end_at_once_cannot_be_taken_back(autojump_clock: object) -> None:
    stage = Stage()
    async with trio.open_nursery() as nursery:
        await running(stage, nursery)
        stage.lifecycle.undrain()
        stage.lifecycle.drain(now=True)
        with pytest.raises(Conflict):
            stage.lifecycle.undrain()


async def test_a_service_that_fails_ends_all(autojump_clock: object) -> None:
    stage = Stage()
    services = [stage.service("good"), stage.service("bad", fails_after=3)]
    with pytest.raises(BaseExceptionGroup) as caught:
        await stage.lifecycle.run(services)
    assert str(the_one(caught.value)) == "bad failed"
    assert sorted(stage.ended) == ["bad", "good"]
    assert stage.closed


async def test_a_service_that_cannot_start_keeps_the_rest_from_starting(
    autojump_clock: object,
) -> None:
    async def refuses(*, task_status: trio.TaskStatus[None]) -> None:
        raise StoreBusy("held by somebody")

    stage = Stage()
    with pytest.raises(BaseExceptionGroup) as caught:
        await stage.lifecycle.run([stage.service("a"), ("b", refuses), stage.service("c")])
    assert isinstance(the_one(caught.value), StoreBusy)
    assert stage.started == ["a"]
    assert not stage.health.ready


async def test_what_is_done_after_the_start_ends_with_it(autojump_clock: object) -> None:
    stage = Stage()
    events = []

    async def settle() -> None:
        events.append("settled")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            lambda: stage.lifecycle.run(
                [stage.service("a")], on_ready=settle, on_end=lambda: events.append("end")
            )
        )
        await trio.testing.wait_all_tasks_blocked()
        stage.lifecycle.drain(now=False)
    assert events == ["settled", "end"]
