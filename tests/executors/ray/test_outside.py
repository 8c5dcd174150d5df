"""A Ray cluster of somebody else: its losses are ours to count, and our files may not be its own."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import trio
from pydantic import ValidationError

from flowdapt.domain.errors import ExecutorUnavailable
from flowdapt.domain.task import Lost
from flowdapt.plugins.executors.ray.executor import RayExecutor
from flowdapt.plugins.executors.ray.options import RayOptions
from flowdapt.testing.executor_calls import RunsExecutor, lines_of, until
from tests.clusters.elsewhere import elsewhere
from tests.clusters.ports import free_port, silent_server
from tests.clusters.promises import BODIES, LARGE, OneWriterOfMany, OwnFiles, children, keep
from tests.clusters.ray import LOOPBACK, OutsideRay, outside_ray
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from flowdapt.domain.task import Outcome, WorkerEnvironment
    from flowdapt.ports.executor import Executor
    from flowdapt.testing.executor_calls import Bench

pytestmark = [pytest.mark.clusters, pytest.mark.slow]


@pytest.fixture(scope="module")
def shared() -> Iterator[OutsideRay]:
    with outside_ray() as cluster:
        yield cluster


class _OnOutside(RunsExecutor):
    options: dict[str, Any]

    @pytest.fixture(autouse=True)
    def _loopback(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in LOOPBACK.items():
            monkeypatch.setenv(name, value)

    async def make(self, environment: WorkerEnvironment) -> Executor:
        return RayExecutor(RayOptions(**self.options), environment)

    @asynccontextmanager
    async def joined(self, cluster: OutsideRay, **options: Any) -> AsyncIterator[Bench]:
        self.options = {
            "address": cluster.address,
            "token_file": str(cluster.token_file),
            **options,
        }
        async with self.bench() as bench:
            yield bench


class TestLosses(_OnOutside):
    @pytest.mark.parametrize("name", ["raylet/raylet", "gcs_server"])
    async def test_a_killed_head_ends_the_executor_in_words(self, name: str) -> None:
        outcomes: list[Outcome] = []

        async def lose() -> None:
            with outside_ray() as cluster:
                short = {"reconnect_timeout": 1.0}
                async with self.joined(cluster, **short) as bench, trio.open_nursery() as nursery:
                    call = bench.call(f"{BODIES}:note_and_wait", str(self.folder))
                    nursery.start_soon(keep, bench, call, outcomes)
                    await until((self.folder / "note-0").exists)
                    for process in cluster.processes(name):
                        process.kill()
                    await trio.sleep_forever()

        with pytest.raises(ExecutorUnavailable, match=r"Ray cluster (is gone|does not answer)"):
            await lose()
        assert [type(outcome) for outcome in outcomes] == [Lost]

    async def test_a_killed_bridge_leaves_no_body_running(self, shared: OutsideRay) -> None:
        outcomes: list[Outcome] = []

        async def lose() -> None:
            async with self.joined(shared) as bench, trio.open_nursery() as nursery:
                call = bench.call(f"{BODIES}:note_and_wait", str(self.folder))
                nursery.start_soon(keep, bench, call, outcomes)
                await until((self.folder / "note-0").exists)
                for process in psutil.Process().children():
                    if "flowdapt.plugins.bridge.process" in process.cmdline():
                        process.kill()
                await trio.sleep_forever()

        with pytest.raises(ExecutorUnavailable):
            await lose()
        assert [type(outcome) for outcome in outcomes] == [Lost]
        worker = int((self.folder / "note-0").read_text(encoding="utf-8"))
        eventually(lambda: not psutil.pid_exists(worker), timeout_s=20, what="the worker ends")

    async def test_a_connect_that_hangs_ends_in_its_time(self) -> None:
        with silent_server() as address:
            self.options = {"address": address, "connect_timeout": 1.0}
            with pytest.raises(ExecutorUnavailable, match="silent for 1 s"):
                async with self.bench():
                    pass

    async def test_an_address_where_nobody_listens_is_told_at_once(self) -> None:
        with silent_server() as address:
            pass
        self.options = {"address": address}
        with pytest.raises(ExecutorUnavailable, match="no Ray cluster can be had at"):
            async with self.bench():
                pass

    async def test_a_wrong_token_is_told_in_words(self, shared: OutsideRay) -> None:
        wrong = self.folder / "token"
        wrong.write_text("f" * 64, encoding="ascii")
        with pytest.raises(ExecutorUnavailable, match="no Ray cluster can be had"):
            async with self.joined(shared, token_file=str(wrong), connect_timeout=3.0):
                pass


class TestOwnFiles(OwnFiles, _OnOutside):
    @pytest.fixture(autouse=True)
    def _shared(self, shared: OutsideRay) -> None:
        self.shared = shared

    @asynccontextmanager
    async def apart(self, **options: Any) -> AsyncIterator[Bench]:
        async with self.joined(self.shared, shares_files=False, **options) as bench:
            yield bench

    async def test_cluster_memory_outlives_who_wrote_it(self, shared: OutsideRay) -> None:
        async with self.joined(shared, shares_files=False) as bench:
            for size in (100_000, 200_000):  # the second one replaces the first
                await bench.value(bench.call(f"{BODIES}:remember", "k", size))
        async with self.joined(shared, shares_files=False) as bench:
            assert (await bench.value(bench.call(f"{BODIES}:recall", "k")))[0] == sum(
                range(200_000)
            )
            assert await bench.value(bench.call(f"{BODIES}:forget", "k")) is False
            failed = await bench.failed(bench.call(f"{BODIES}:recall", "k"))
            assert failed.error.type.endswith("MissingObject")


class TestOneWriter(OneWriterOfMany, _OnOutside):
    @asynccontextmanager
    async def two_workers(self) -> AsyncIterator[Bench]:
        with outside_ray() as cluster:
            async with self.joined(cluster, shares_files=False) as bench:
                yield bench


class TestByClient(_OnOutside):
    async def test_a_client_server_in_between_changes_nothing(self) -> None:
        port = free_port()
        with outside_ray([f"--ray-client-server-port={port}"]) as cluster:
            eventually(
                lambda: cluster.serves_clients(port), timeout_s=60, what="it lets clients in"
            )
            there = {"address": f"ray://127.0.0.1:{port}", "shares_files": False}
            async with self.joined(cluster, **there, connect_timeout=30) as bench:
                assert await bench.value(bench.call("speak", "hello")) == "hello"
                assert "printed: hello" in lines_of(bench.events)
                large = (await bench.finished(bench.call("everything", LARGE))).value
                assert large.kind == "cluster"
                assert await bench.value(bench.call("type_name", large)) == "list"
                stored = await bench.executor.store(large, "run/large")
                assert bench.decode(stored) == [LARGE]
                failed = await bench.failed(bench.call("fail"))
                assert failed.error.message == "no such luck"
                lost = await bench.lost(bench.call("die", 7))
                assert "code 7" in lost.error.message
                witness = self.folder / "witness"
                call = bench.call("run_for_ever", str(witness), grace_s=0.5)
                assert await bench.cancelled(call, witness.exists) < 2.5
                rows = await bench.executor.check()
                assert [row for row in rows if row.level == "failed"] == []


class TestShared(_OnOutside):
    async def test_tasks_wait_for_nodes_that_may_come(self, shared: OutsideRay) -> None:
        async with self.joined(shared, grows_to={"cpus": 64, "tpu": 4}) as bench:
            capacity = bench.executor.capacity()
            assert (capacity.cpus, capacity.custom) == (64, {"tpu": 4})
            call = bench.call("nothing", resources={"cpus": 8.0})
            assert await bench.cancelled(call, lambda: True) < 1.5
            failed = await bench.failed(bench.call("nothing", resources={"cpus": 65.0}))
            assert "one node has 64 at most" in failed.error.message

    async def test_a_large_result_stays_in_memory_that_is_passed_by_name(
        self, shared: OutsideRay
    ) -> None:
        async with self.joined(shared) as bench:
            assert await self._stored(bench) == 1

    async def _stored(self, bench: Bench) -> int:
        """Keep a large result and store it; return how many areas the bridge holds for it."""
        before = _areas_of_bridges()
        large = (await bench.finished(bench.call("everything", LARGE))).value
        assert (large.kind, bool(large.handle)) == ("cluster", True)
        assert bench.executor.holds(large.handle)
        kept = _areas_of_bridges() - before
        taken = bench.call(f"{BODIES}:length_of", large)
        assert await bench.value(taken) == len(LARGE)
        stored = await bench.executor.store(large, "run/large")
        await bench.executor.forget(bench.run)
        assert bench.decode(stored) == [LARGE]
        return kept

    async def test_on_another_machine_a_large_result_goes_to_the_store(self) -> None:
        with outside_ray(before=elsewhere()) as cluster:
            async with self.joined(cluster) as bench:
                assert await self._stored(bench) == 0


def _areas_of_bridges() -> int:
    return sum(_areas(process) for process in children() if "bridge" in _command(process))


def _command(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def _areas(process: psutil.Process) -> int:
    """Count the areas that a process holds open."""
    names = [str(entry.readlink()) for entry in Path(f"/proc/{process.pid}/fd").iterdir()]
    return sum("memfd:flowdapt" in name for name in names)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"address": "ray://10.0.0.5:10001"}, "lacks TLS and a proof"),
        ({"address": "10.0.0.5:6379", "token_file": "/t"}, "lacks TLS:"),
        ({"address": "auto"}, "lacks TLS"),
        ({"address": "127.0.0.1"}, "is not ray://HOST:PORT"),
        ({"address": "ray://127.0.0.1:1/x"}, "is not ray://HOST:PORT"),
        ({"address": "http://127.0.0.1:1"}, "is not ray://HOST:PORT"),
        ({"address": "127.0.0.1:65536"}, "is not ray://HOST:PORT"),
        ({"address": "ray://127.0.0.1:99999"}, "is not ray://HOST:PORT"),
        ({"resources": {"tokens": -1}}, "resources.tokens"),
        ({"minimum": 3, "maximum": 2}, "below minimum"),
        ({"token_file": "/x"}, "makes its own"),
        ({"grows_to": {"cpus": 8}}, "raise maximum"),
        ({"address": "127.0.0.1:1", "tls_ca": "/x"}, "needs all"),
        ({"object_store": "10MB"}, "object_store"),
        ({"port": 1}, "port"),
    ],
)
def test_unsafe_or_wrong_options_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        RayOptions(**options)


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("ray://127.0.0.1:10001", "127.0.0.1", 10001),
        ("ray://[::1]:10001", "::1", 10001),
        ("localhost:6379", "localhost", 6379),
    ],
)
def test_a_slash_behind_the_port_says_nothing(address: str, host: str, port: int) -> None:
    for written in (address, f"{address}/"):
        options = RayOptions(address=written)
        assert (options.address, options.place) == (address, (host, port))


def test_a_remote_address_may_be_used_when_it_is_asked_for() -> None:
    assert RayOptions(address="ray://10.0.0.5:10001", insecure=True).by_client
    files = {"tls_ca": "/a", "tls_cert": "/c", "tls_key": "/k"}
    assert RayOptions(address="ray://10.0.0.5:10001", **files).place == ("10.0.0.5", 10001)
