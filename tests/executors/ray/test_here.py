"""A Ray cluster started on this machine: who can reach it, what it costs when a part dies, what it leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import trio

from flowdapt.domain.errors import ExecutorUnavailable, MissingObject
from flowdapt.domain.task import Lost, TaskEvent, WorkerEnvironment
from flowdapt.plugins.executors.ray.executor import RayExecutor
from flowdapt.plugins.executors.ray.options import RayOptions
from flowdapt.testing.executor_calls import RunsExecutor, until
from tests.clusters.promises import BODIES, LARGE, SameNames, children, keep, lives
from tests.executors.ray.shared import Borrowed, Lent, lent
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from flowdapt.domain.task import Outcome
    from flowdapt.ports.executor import Executor
    from flowdapt.testing.executor_calls import Bench

pytestmark = [pytest.mark.clusters, pytest.mark.slow]


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Give a folder whose path leaves room for those of Ray's sockets."""
    with tempfile.TemporaryDirectory(prefix="f-", dir="/tmp") as folder:
        yield Path(folder)


class TestHere(RunsExecutor):
    options: dict[str, Any]

    async def make(self, environment: WorkerEnvironment) -> Executor:
        return RayExecutor(RayOptions(**self.options), environment)

    @asynccontextmanager
    async def cluster(self, **options: Any) -> AsyncIterator[Bench]:
        self.options = {"maximum": 2, "object_store": "128MB", **options}
        async with self.bench() as bench:
            yield bench

    async def test_it_listens_on_loopback_lets_nobody_in_and_leaves_nothing(
        self, monkeypatch: pytest.MonkeyPatch, short_folder: Path
    ) -> None:
        monkeypatch.setenv("TMPDIR", str(short_folder))
        others = children()
        async with self.cluster() as bench:
            await bench.finished(bench.call("nothing"))
            family = children() - others
            listening = [place for process in family for place in _listens(process)]
            assert listening
            assert {place.ip.removeprefix("::ffff:") for place in listening} == {"127.0.0.1"}
            for port in {place.port for process in family for place in _listens(process)}:
                assert await trio.to_thread.run_sync(_ask_without_token, port) != "OK"
            for head in [process for process in family if process.name() == "gcs_server"]:
                answer = await trio.to_thread.run_sync(_ask_without_token, _listens(head)[0].port)
                assert answer == "UNAUTHENTICATED"
            (folder,) = short_folder.glob("flowdapt-ray-*")
            assert folder.stat().st_mode & 0o077 == 0
        assert not [process for process in family if lives(process)]
        assert not folder.exists()

    async def test_a_dead_worker_costs_its_task_alone(self) -> None:
        async with self.cluster() as bench:
            outcomes: list[Outcome] = []
            ref = (await bench.finished(bench.call("everything", LARGE))).value
            note = self.folder / "note-0"
            async with trio.open_nursery() as nursery:
                call = bench.call(f"{BODIES}:note_and_wait", str(self.folder))
                nursery.start_soon(keep, bench, call, outcomes)
                await until(lambda: note.exists() and bool(note.read_text(encoding="utf-8")))
                os.kill(int(note.read_text(encoding="utf-8")), signal.SIGKILL)
            (outcome,) = outcomes
            assert isinstance(outcome, Lost)
            assert "worker" in outcome.error.message
            assert not (self.folder / "note-1").exists()
            assert await bench.value(bench.call("type_name", ref)) == "list"
            assert await bench.value(bench.call("everything", 1)) == [1]

    @pytest.mark.parametrize("name", ["raylet", "gcs_server"])
    async def test_a_dead_head_is_told_at_once(self, name: str) -> None:
        outcomes: list[Outcome] = []

        async def lose() -> None:
            async with self.cluster() as bench, trio.open_nursery() as nursery:
                call = bench.call(f"{BODIES}:note_and_wait", str(self.folder))
                nursery.start_soon(keep, bench, call, outcomes)
                await until((self.folder / "note-0").exists)
                for process in psutil.Process().children(recursive=True):
                    if process.name() == name:
                        process.kill()
                with trio.fail_after(8):
                    await trio.sleep_forever()

        with pytest.raises(ExecutorUnavailable, match="of the Ray cluster on this machine is gone"):
            await lose()
        assert [type(outcome) for outcome in outcomes] == [Lost]

    async def test_processes_beyond_the_minimum_end_when_they_are_idle(self) -> None:
        async with self.cluster(minimum=1, idle_timeout=1) as bench:
            gate = self.folder / "gate"
            async with trio.open_nursery() as nursery:
                started: list[TaskEvent] = []
                for number in range(2):
                    call = bench.call("wait", str(gate), number)
                    nursery.start_soon(bench.executor.execute, call, started.append)
                await until(lambda: len(started) == 2)
                assert len(_workers()) >= 2
                gate.touch()
            await until(lambda: len(_workers()) <= 1)
            assert await bench.value(bench.call("everything", 1)) == [1]

    async def test_what_a_killed_daemon_leaves_is_swept_by_the_next(self) -> None:
        left = Path(tempfile.mkdtemp(prefix="flowdapt-ray-", dir=tempfile.gettempdir()))
        (left / "lock").touch()
        async with self.cluster():
            assert not left.exists()


def test_a_killed_daemon_takes_its_cluster_along(tmp_path: Path) -> None:
    daemon = subprocess.Popen(
        [sys.executable, "-c", _DAEMON, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert daemon.stdout is not None
    assert daemon.stdout.readline() == "open\n"
    family = psutil.Process(daemon.pid).children(recursive=True)
    assert "raylet" in [process.name() for process in family]
    daemon.kill()
    daemon.wait()
    daemon.stdout.close()
    eventually(
        lambda: not [process for process in family if lives(process)],
        timeout_s=20,
        what="all of the cluster ends",
    )


@pytest.fixture(scope="module")
def environment_of_all(tmp_path_factory: pytest.TempPathFactory) -> WorkerEnvironment:
    folder = tmp_path_factory.mktemp("ray")
    return WorkerEnvironment(str(folder / "values"), str(folder / "a"), str(folder / "memory"))


@pytest.fixture(scope="module")
def running(environment_of_all: WorkerEnvironment) -> Iterator[Lent]:
    options = RayOptions(maximum=2, object_store=128 * 1024 * 1024, resources={"vllm": 1})
    with lent(RayExecutor(options, environment_of_all)) as running:
        yield running


class TestWork(SameNames):
    """What harms no cluster, on one for all; last, for the others look at all processes of this one."""

    @pytest.fixture(autouse=True)
    def _running(self, running: Lent, environment_of_all: WorkerEnvironment) -> None:
        self.running = running
        self.environment_of_all = environment_of_all

    def environment(self) -> WorkerEnvironment:
        return self.environment_of_all

    async def make(self, environment: WorkerEnvironment) -> Executor:
        return Borrowed(self.running)

    def ready(self) -> AbstractAsyncContextManager[Bench]:
        return self.bench()

    async def test_values_pass_from_stage_to_stage_and_can_be_stored(self) -> None:
        async with self.bench() as bench:
            ref = (await bench.finished(bench.call("everything", LARGE))).value
            assert (ref.kind, ref.location) == ("cluster", "")
            assert bench.executor.holds(ref.handle)
            for _ in range(2):
                assert await bench.value(bench.call("change", ref, inline_max_bytes=10**7)) == [
                    LARGE,
                    99,
                ]
            kept = await bench.executor.store(ref, "run/kept")
            await bench.executor.forget(bench.run)
            assert not bench.executor.holds(ref.handle)
            assert await bench.value(bench.call("type_name", kept)) == "list"
            assert (await bench.lost(bench.call("type_name", ref))).missing == (ref.handle,)
            with pytest.raises(MissingObject):
                await bench.executor.store(ref, "run/ref")

    async def test_a_result_of_medium_size_is_a_file_as_well(self) -> None:
        async with self.bench() as bench:
            call = bench.call("everything", LARGE[:300_000], store_max_bytes=1_000_000)
            ref = (await bench.finished(call)).value
            assert (ref.kind, bool(ref.handle)) == ("file", True)
            await bench.executor.forget(bench.run)
            assert await bench.value(bench.call("type_name", ref)) == "list"

    async def test_what_no_node_can_give_is_refused_in_words(self) -> None:
        async with self.bench() as bench:
            assert bench.executor.capacity().custom == {"vllm": 1.0}
            fits = bench.call("everything", 1, resources={"vllm": 1.0, "cpus": 2.0})
            assert await bench.value(fits) == [1]
            for wanted, words in (
                ({"vllm": 2.0}, "one node has 1 at most"),
                ({"cpus": 3.0}, "one node has 2 at most"),
                ({"gpus": 1.0}, "no node has any"),
            ):
                failed = await bench.failed(bench.call("everything", 1, resources=wanted))
                assert words in failed.error.message
                assert not failed.error.retryable

    async def test_a_task_that_waits_is_cancelled_at_once(self) -> None:
        async with self.bench() as bench, trio.open_nursery() as nursery:
            gate = self.folder / "gate"
            started: list[TaskEvent] = []
            for number in range(2):
                call = bench.call("wait", str(gate), number)
                nursery.start_soon(bench.executor.execute, call, started.append)
            await until(lambda: len(started) == 2)
            took = await bench.cancelled(bench.call("nothing"), lambda: True)
            assert took < 1.0
            gate.touch()


_DAEMON = """
import sys, trio
from flowdapt.domain.task import WorkerEnvironment
from flowdapt.plugins.executors.ray.executor import RayExecutor
from flowdapt.plugins.executors.ray.options import RayOptions

async def main(folder):
    environment = WorkerEnvironment(folder + "/values", folder + "/artifacts", folder + "/memory")
    executor = RayExecutor(RayOptions(maximum=1, object_store="128MB"), environment)
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, executor)
        print("open", flush=True)

async def serve(executor, *, task_status):
    await executor.run(task_status=task_status)

trio.run(main, sys.argv[1])
"""


def _listens(process: psutil.Process) -> list[Any]:
    found = process.net_connections("inet")
    return [connection.laddr for connection in found if connection.status == psutil.CONN_LISTEN]


def _ask_without_token(port: int) -> str:
    """Return how a server of Ray answers somebody on this machine who does not know the token."""
    grpc: Any = import_module("grpc")
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        ask = channel.unary_unary("/ray.rpc.NodeInfoGcsService/GetClusterId")
        try:
            ask(b"", timeout=2)
        except grpc.RpcError as error:
            return str(error.code().name)
    return "OK"


def _workers() -> list[psutil.Process]:
    """Return the processes of Ray that run tasks or may do so."""
    family = psutil.Process().children(recursive=True)
    return [p for p in family if lives(p) and p.name().startswith(("ray::IDLE", "ray::contract"))]
