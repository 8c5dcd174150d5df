"""An executor whose library lives in another process: the contract, and every way that process may end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from flowdapt.domain.errors import ExecutorUnavailable, MissingObject
from flowdapt.domain.task import Lost, ValueRef
from flowdapt.plugins.bridge import wire
from flowdapt.testing.executor_calls import RunsExecutor, until
from flowdapt.testing.executor_contract import ExecutorContract
from tests.plugins.bridge.engines import ThreadExecutor, make

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from flowdapt.domain.task import Outcome, TaskCall, WorkerEnvironment
    from flowdapt.ports.executor import Executor

LARGE = "x" * 3_000_000


class TestContract(ExecutorContract):
    capabilities = ThreadExecutor.capabilities

    async def make(self, environment: WorkerEnvironment) -> Executor:
        return make(environment, self.folder)  # type: ignore[no-any-return]


class TestBridge(RunsExecutor):
    async def make(self, environment: WorkerEnvironment) -> Executor:
        return make(environment, self.folder)  # type: ignore[no-any-return]

    def pid(self) -> int:
        return int((self.folder / "bridge.pid").read_text(encoding="utf-8"))

    async def test_what_the_engine_reports_is_told_without_asking(self) -> None:
        async with self.bench() as bench:
            await until(lambda: bool(bench.executor.workers()))
            capacity = bench.executor.capacity()
            assert (capacity.slots, dict(capacity.custom)) == (None, {"vllm": 1.0})
            assert bench.executor.scale().maximum == 4
            assert bench.executor.workers()[0].details == {"host": "here"}

    async def test_a_large_result_stays_and_is_stored_when_asked(self) -> None:
        async with self.bench() as bench:
            ref = (await bench.finished(bench.call("everything", LARGE))).value
            assert ref.kind == "cluster"
            assert bench.executor.holds(ref.handle)
            stored = await bench.executor.store(ref, "run/kept")
            assert (stored.kind, stored.handle) == ("file", ref.handle)
            assert bench.decode(stored) == [LARGE]
            assert await bench.value(bench.call("type_name", ref)) == "list"

    async def test_a_forgotten_run_holds_nothing(self) -> None:
        async with self.bench() as bench:
            ref = (await bench.finished(bench.call("everything", LARGE))).value
            await bench.executor.forget(bench.run)
            assert not bench.executor.holds(ref.handle)
            with pytest.raises(MissingObject):
                await bench.executor.store(ref, "run/kept")

    async def test_no_room_to_store_is_the_error_that_it_is(self) -> None:
        async with self.bench() as bench:
            ref = (await bench.finished(bench.call("everything", LARGE))).value
            with pytest.raises(OSError, match="no room"):
                await bench.executor.store(ref, "full")

    async def test_a_call_that_did_not_begin_is_no_outcome(self) -> None:
        async with self.bench() as bench:
            with pytest.raises(ExecutorUnavailable, match="the cluster went"):
                await bench.outcome(bench.call("nothing", stage="unreachable"))

    async def test_a_bug_of_the_engine_costs_its_task_alone(self) -> None:
        async with self.bench() as bench:
            lost = await bench.lost(bench.call("nothing", stage="bug"))
            assert "a bug" in lost.error.message
            assert await bench.value(bench.call("everything", 1)) == [1]

    async def test_when_the_bridge_dies_its_tasks_are_lost_and_run_says_why(self) -> None:
        outcomes: list[Outcome] = []
        witness = self.folder / "witness"

        async def keep(executor: Executor, call: TaskCall) -> None:
            with trio.CancelScope(shield=True):
                outcomes.append(await executor.execute(call, lambda event: None))

        async def lose() -> None:
            async with self.bench() as bench, trio.open_nursery() as nursery:
                call = bench.call("run_until_cancelled", str(witness))
                nursery.start_soon(keep, bench.executor, call)
                await until(witness.exists)
                os.kill(self.pid(), signal.SIGKILL)
                await trio.sleep_forever()

        with pytest.raises(ExecutorUnavailable, match="the bridge to threads ended"):
            await lose()
        assert [type(outcome) for outcome in outcomes] == [Lost]
        assert not _lives(int(witness.read_text(encoding="utf-8")))

    async def test_a_lost_cluster_ends_the_executor_in_its_words(self) -> None:
        async def lose() -> None:
            async with self.bench() as bench:
                await bench.lost(bench.call("nothing", stage="lose"))
                await trio.sleep_forever()

        with pytest.raises(ExecutorUnavailable, match="the scheduler is gone"):
            await lose()

    async def test_after_the_end_nothing_runs(self) -> None:
        async with self.bench() as bench:
            await bench.finished(bench.call("nothing"))
            executor = bench.executor
        assert (self.folder / "closed").exists()
        assert not _lives(self.pid())
        with pytest.raises(ExecutorUnavailable):
            await executor.execute(bench.call("nothing"), lambda event: None)

    @pytest.mark.parametrize(("trouble", "words"), [("refuse", "nobody answers"), ("bug", "a bug")])
    async def test_an_engine_that_does_not_open_is_told(self, trouble: str, words: str) -> None:
        executor = make(self.environment(), self.folder, trouble)
        with pytest.raises(ExecutorUnavailable, match=words):
            async with _running(executor):
                pass

    async def test_an_engine_that_hangs_can_be_left(self) -> None:
        executor = make(self.environment(), self.folder, "hang")
        with trio.move_on_after(1.0) as scope:
            async with _running(executor):
                pass
        assert scope.cancelled_caught

    async def test_the_bridge_ends_with_a_killed_daemon(self) -> None:
        script = (
            "import sys, trio\n"
            "from pathlib import Path\n"
            "from tests.plugins.bridge.engines import make\n"
            "from flowdapt.domain.task import WorkerEnvironment\n"
            "folder = Path(sys.argv[1])\n"
            "where = WorkerEnvironment(*[str(folder / n) for n in ('v', 'a', 'm')])\n"
            "async def main():\n"
            "    async with trio.open_nursery() as nursery:\n"
            "        await nursery.start(lambda task_status: make(where, folder).run("
            "task_status=task_status))\n"
            "        print('up', flush=True)\n"
            "trio.run(main)\n"
        )
        daemon = subprocess.Popen(
            [sys.executable, "-c", script, str(self.folder)], stdout=subprocess.PIPE
        )
        assert daemon.stdout is not None
        assert (await trio.to_thread.run_sync(daemon.stdout.readline)) == b"up\n"
        daemon.kill()
        daemon.wait()
        daemon.stdout.close()
        await until(lambda: not _lives(self.pid()))


def test_messages_come_whole_out_of_any_pieces() -> None:
    ref = ValueRef("cluster", "pickle", handle="h")
    messages = [wire.Store(number, ref, "n" * number) for number in range(200)]
    stream = b"".join(map(wire.pack, messages))
    for size in (1, 3, 7, 1000, len(stream)):
        assembler = wire.Assembler()
        bodies = [
            body
            for at in range(0, len(stream), size)
            for body in assembler.feed(stream[at : at + size])
        ]
        assert [wire.read_to_bridge(body) for body in bodies] == messages


def test_the_daemons_side_imports_no_cluster_library() -> None:
    code = (
        "import sys, flowdapt.plugins.bridge.executor as e; "
        "print([m for m in ('distributed', 'dask', 'ray') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@asynccontextmanager
async def _running(executor: Executor) -> AsyncIterator[None]:
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(_serve, executor)
            yield
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None


async def _serve(executor: Executor, *, task_status: trio.TaskStatus[None]) -> None:
    await executor.run(task_status=task_status)


def _lives(pid: int) -> bool:
    try:
        row = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return row.rpartition(b")")[2].split()[0] not in (b"Z", b"X")
