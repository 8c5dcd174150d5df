"""A Dask cluster of somebody else: its losses are ours to count, and our files may not be its own."""

from __future__ import annotations

import os
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio
from distributed import Client
from pydantic import ValidationError

from flowdapt.domain.errors import ExecutorUnavailable
from flowdapt.domain.task import Lost
from flowdapt.plugins.executors.dask.executor import DaskExecutor
from flowdapt.plugins.executors.dask.options import DaskOptions
from flowdapt.runtime import lending
from flowdapt.testing.executor_calls import RunsExecutor, until
from tests.clusters.dask import OutsideDask, outside_dask
from tests.clusters.elsewhere import elsewhere
from tests.clusters.ports import free_port, silent_server
from tests.clusters.promises import BODIES, OneWriterOfMany, OwnFiles, keep

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from flowdapt.domain.task import Outcome, WorkerEnvironment
    from flowdapt.ports.executor import Executor
    from flowdapt.testing.executor_calls import Bench

pytestmark = pytest.mark.slow

NOTE = f"{BODIES}:note_and_wait"


class _OnOutside(RunsExecutor):
    options: dict[str, Any]

    async def make(self, environment: WorkerEnvironment) -> Executor:
        return DaskExecutor(DaskOptions(**self.options), environment)

    @asynccontextmanager
    async def joined(self, cluster: OutsideDask, **options: Any) -> AsyncIterator[Bench]:
        self.options = {"address": cluster.address, **options}
        async with self.bench() as bench:
            yield bench

    def notes(self) -> list[int]:
        found = sorted(self.folder.glob("note-*"))
        return [int(note.read_text(encoding="utf-8") or 0) for note in found]


class TestLosses(_OnOutside):
    async def test_dask_never_begins_a_task_a_second_time(self) -> None:
        with outside_dask() as cluster:
            async with self.joined(cluster) as bench:
                outcomes: list[Outcome] = []
                async with trio.open_nursery() as nursery:
                    await until(lambda: len(bench.executor.workers()) == 2)
                    nursery.start_soon(keep, bench, bench.call(NOTE, str(self.folder)), outcomes)
                    await until(lambda: bool(self.notes()) and bool(self.notes()[0]))
                    os.kill(self.notes()[0], signal.SIGKILL)
                (outcome,) = outcomes
                assert isinstance(outcome, Lost)
                assert len(self.notes()) == 1
                assert await bench.value(bench.call("everything", 1)) == [1]

    async def test_a_killed_scheduler_ends_the_executor_in_words(self) -> None:
        outcomes: list[Outcome] = []

        async def lose() -> None:
            with outside_dask(workers=1) as cluster:
                async with self.joined(cluster) as bench, trio.open_nursery() as nursery:
                    nursery.start_soon(keep, bench, bench.call(NOTE, str(self.folder)), outcomes)
                    await until(lambda: bool(self.notes()))
                    os.killpg(cluster.scheduler.pid, signal.SIGKILL)
                    await trio.sleep_forever()

        with pytest.raises(ExecutorUnavailable, match="Dask scheduler"):
            await lose()
        assert [type(outcome) for outcome in outcomes] == [Lost]

    async def test_a_silent_scheduler_is_lost_after_its_time(self) -> None:
        async def lose() -> None:
            with outside_dask(workers=0) as cluster:
                async with self.joined(cluster, reconnect_timeout=0.5):
                    os.killpg(cluster.scheduler.pid, signal.SIGSTOP)
                    await trio.sleep_forever()

        with pytest.raises(ExecutorUnavailable, match="does not answer"):
            await lose()

    async def test_a_connect_that_hangs_ends_in_its_time(self) -> None:
        with silent_server() as address:
            self.options = {"address": f"tcp://{address}", "connect_timeout": 1.0}
            with pytest.raises(ExecutorUnavailable, match="no Dask scheduler answers"):
                async with self.bench():
                    pass

    async def test_an_address_that_refuses_is_told_long_before_the_time_to_connect_is_over(
        self,
    ) -> None:
        self.options = {"address": f"tcp://127.0.0.1:{free_port()}", "connect_timeout": 60}
        with trio.fail_after(20), pytest.raises(ExecutorUnavailable) as caught:
            async with self.bench():
                pass
        assert "it refuses connections, nothing listens there" in str(caught.value)
        assert "within 60 s" not in str(caught.value)

    async def test_tasks_wait_for_the_first_worker(self) -> None:
        with outside_dask(workers=0) as cluster:
            async with self.joined(cluster) as bench:
                rows = await bench.executor.check()
                assert [row.code for row in rows if row.what == "workers"] == [
                    "executor.no_workers"
                ]
                outcomes: list[Outcome] = []
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(keep, bench, bench.call("everything", 1), outcomes)
                    cluster.add_worker()
                assert [type(outcome).__name__ for outcome in outcomes] == ["Finished"]

    async def test_values_that_go_along_wait_for_the_first_worker_for_as_long_as_it_takes(
        self,
    ) -> None:
        with outside_dask(workers=0) as cluster:
            given: dict[str, Any] = {"connect_timeout": 0.5, "shares_files": False}
            async with self.joined(cluster, **given) as bench:
                outcomes: list[Outcome] = []
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(keep, bench, bench.call("everything", 1), outcomes)
                    # A task is what brings workers where the cluster scales.
                    await until(lambda: _tasks_on(cluster) > 0)
                    await trio.sleep(2 * given["connect_timeout"])
                    assert outcomes == []
                    cluster.add_worker()
                assert [type(outcome).__name__ for outcome in outcomes] == ["Finished"]

    async def test_of_the_tasks_that_wait_for_a_worker_the_higher_priority_goes_first(self) -> None:
        with outside_dask(workers=1) as cluster:
            async with self.joined(cluster) as bench:
                outcomes: list[Outcome] = []
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(keep, bench, bench.call(NOTE, str(self.folder)), outcomes)
                    await until(lambda: bool(self.notes()))
                    for priority in (0, -3, 7, 2):  # Dask hands the first out ahead
                        given = (str(self.folder), str(priority))
                        call = bench.call(f"{BODIES}:sign", *given, priority=priority)
                        nursery.start_soon(keep, bench, call, outcomes)
                        await trio.sleep(0.2)
                    (self.folder / "gate").touch()
        assert {type(outcome).__name__ for outcome in outcomes} == {"Finished"}
        signed = (self.folder / "signed").read_text(encoding="utf-8").split()
        assert [word for word in signed if word != "0"] == ["7", "2", "-3"]

    async def test_a_task_that_waits_is_cancelled_at_once(self) -> None:
        with outside_dask(workers=0) as cluster:
            async with self.joined(cluster) as bench:
                took = await bench.cancelled(bench.call("nothing"), lambda: True)
                assert took < 1.0


class TestNames(_OnOutside):
    async def test_values_pass_by_name_until_a_worker_of_another_machine_comes(self) -> None:
        with outside_dask(workers=0) as cluster:
            cluster.add_worker("--resources", "here=1")
            async with self.joined(cluster) as bench:
                await until(lambda: bool(bench.executor.capacity().custom))
                await until(lambda: _pass_by_name(cluster) == [True])
                near = bench.call("everything", "x" * 3_000_000, resources={"here": 1})
                made = (await bench.finished(near)).value
                cluster.add_worker("--resources", "far=1", before=elsewhere())
                await until(lambda: _pass_by_name(cluster) == [False, False])
                far = bench.call(f"{BODIES}:length_of", made, resources={"far": 1})
                assert await bench.value(far) == 3_000_000


def _pass_by_name(cluster: OutsideDask) -> list[bool]:
    """Ask the workers as another client of the cluster would."""
    with Client(cluster.address, set_as_default=False, timeout="10s") as client:
        return list(client.run(lending.is_on).values())


def _tasks_on(cluster: OutsideDask) -> int:
    with Client(cluster.address, set_as_default=False, timeout="10s") as client:
        found: int = client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))
        return found


@pytest.fixture(scope="module")
def shared() -> Iterator[OutsideDask]:
    with outside_dask() as cluster:
        yield cluster


class TestOwnFiles(OwnFiles, _OnOutside):
    @pytest.fixture(autouse=True)
    def _shared(self, shared: OutsideDask) -> None:
        self.shared = shared

    @asynccontextmanager
    async def apart(self, **options: Any) -> AsyncIterator[Bench]:
        async with self.joined(self.shared, shares_files=False, **options) as bench:
            yield bench

    async def test_cluster_memory_is_one_for_all_workers_and_outlives_a_run(self) -> None:
        with outside_dask() as cluster:
            async with self.joined(cluster, shares_files=False) as bench:
                await until(lambda: len(bench.executor.workers()) == 2)
                for size in (100_000, 200_000):  # the second one replaces the first
                    await bench.value(bench.call(f"{BODIES}:remember", "k", size))
                hosts = set()
                async with trio.open_nursery() as nursery:
                    for _ in range(6):
                        nursery.start_soon(self._recall, bench, hosts)
                assert len(hosts) == 2
            async with self.joined(cluster, shares_files=False) as bench:
                await self._recall(bench, set())
                assert await bench.value(bench.call(f"{BODIES}:forget", "k")) is False
                failed = await bench.failed(bench.call(f"{BODIES}:recall", "k"))
                assert failed.error.type.endswith("MissingObject")

    async def _recall(self, bench: Bench, hosts: set[int]) -> None:
        call = bench.call(f"{BODIES}:recall", "k")
        outcome = await bench.executor.execute(call, lambda event: None)
        total, host = bench.decode(outcome.value)  # type: ignore[union-attr]
        assert total == sum(range(200_000))
        hosts.add(host)


class TestOneWriter(OneWriterOfMany, _OnOutside):
    @asynccontextmanager
    async def two_workers(self) -> AsyncIterator[Bench]:
        with outside_dask() as self.cluster:
            async with self.joined(self.cluster, shares_files=False) as bench:
                await until(lambda: len(bench.executor.workers()) == 2)
                yield bench


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"address": "tcp://10.0.0.5:8786"}, "lacks TLS and a proof"),
        ({"address": "dask://cluster.example:8786"}, "lacks TLS"),
        ({"address": "tls://10.0.0.5:8786"}, "lacks a proof"),
        ({"minimum": 3, "maximum": 2}, "below minimum"),
        ({"tls_ca": "/x"}, "makes its own"),
        ({"port": 1}, "port"),
        ({"address": "127.0.0.1"}, "is not HOST:PORT"),
        ({"address": "tcp://127.0.0.1:"}, "is not HOST:PORT"),
        ({"address": "tcp://127.0.0.1:1/x"}, "is not HOST:PORT"),
        ({"address": "tcp://127.0.0.1:1//"}, "is not HOST:PORT"),
        ({"address": "tcp://127.0.0.1:65536"}, "is not HOST:PORT"),
        ({"address": "tcp://127.0.0.1:99999"}, "is not HOST:PORT"),
        ({"address": "http://127.0.0.1:8786"}, "is not HOST:PORT"),
        ({"address": "ray://127.0.0.1:10001"}, "is not HOST:PORT"),
        ({"resources": {"tokens": -1}}, "resources.tokens"),
    ],
)
def test_unsafe_or_wrong_options_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        DaskOptions(**options)


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("", ""),
        ("127.0.0.1:8786", "tcp://127.0.0.1:8786"),
        ("dask://localhost:8786", "tcp://localhost:8786"),
        ("tcp://[::1]:8786", "tcp://[::1]:8786"),
        ("tcp://127.0.0.1:8786/", "tcp://127.0.0.1:8786"),
        ("localhost:8786/", "tcp://localhost:8786"),
    ],
)
def test_an_address_is_written_as_dask_reads_it(address: str, url: str) -> None:
    assert DaskOptions(address=address).url == url


def test_a_remote_address_may_be_used_when_it_is_asked_for() -> None:
    assert DaskOptions(address="dask://10.0.0.5:8786", insecure=True).url == "tcp://10.0.0.5:8786"
    files = {"tls_ca": "/a", "tls_cert": "/c", "tls_key": "/k"}
    assert DaskOptions(address="dask://10.0.0.5:8786", **files).url == "tls://10.0.0.5:8786"
