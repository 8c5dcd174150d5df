"""What a cluster's executor promises beside the contract, on whichever cluster: for the tests of each to mix in."""

from __future__ import annotations

import os
import signal
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import psutil
import pytest
import trio
from msgspec.structs import replace

from flowdapt.domain.task import Outcome, Part, TaskCall, ValueRef
from flowdapt.runtime.values import store_parts
from flowdapt.testing.executor_calls import Bench, RunsExecutor, json_ref, until
from tests.clusters import bodies

__all__ = [
    "BODIES",
    "LARGE",
    "OneWriter",
    "OneWriterOfMany",
    "OwnFiles",
    "SameNames",
    "children",
    "keep",
    "lives",
]

LARGE = "x" * 3_000_000
BODIES = bodies.__name__


async def keep(bench: Bench, call: TaskCall, outcomes: list[Outcome]) -> None:
    """Run a task to its end, whatever ends around it, and keep what became of it."""
    with trio.CancelScope(shield=True):
        outcomes.append(await bench.executor.execute(call, lambda event: None))


def children() -> set[psutil.Process]:
    """Return what this process has started, directly or not: servers of other tests are among it."""
    return set(psutil.Process().children(recursive=True))


def lives(process: psutil.Process) -> bool:
    """Say whether it runs: a zombie does not."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


class SameNames(RunsExecutor):
    """Runs are told apart, and lists in parts are put together."""

    def ready(self) -> AbstractAsyncContextManager[Bench]:
        """Give a bench on the cluster."""
        raise AssertionError("the class that mixes this in says how")

    async def test_runs_with_the_same_stage_names_never_meet(self) -> None:
        async with self.ready() as bench:
            found: dict[int, Any] = {}

            async def run(number: int) -> None:
                first = _of_run(bench.call("everything", number, stage="load"), number)
                outcome = await bench.executor.execute(first, lambda event: None)
                second = bench.call("everything", outcome.value, stage="fit")  # type: ignore[union-attr]
                last = await bench.executor.execute(_of_run(second, number), lambda event: None)
                found[number] = bench.decode(last.value)  # type: ignore[union-attr]

            async with trio.open_nursery() as nursery:
                for number in range(12):
                    nursery.start_soon(run, number)
            assert found == {number: [[number]] for number in range(12)}

    async def test_parts_that_stay_on_the_cluster_are_put_together(self) -> None:
        async with self.ready() as bench:
            parts = []
            for start in (0, 2):
                call = bench.call("everything", LARGE, start)
                parts.append(Part(start, start + 2, (await bench.finished(call)).value))
            source = ValueRef("parts", length=4, parts=tuple(parts))
            value = await bench.value(bench.call("everything", source, inline_max_bytes=10**7))
            assert [value[0][1], value[0][3]] == [0, 2]


def _of_run(call: TaskCall, number: int) -> TaskCall:
    return replace(call, run=replace(call.run, uid=f"run-of-{number}"))


class OwnFiles(RunsExecutor):
    """Workers that do not see the daemon's files; here they could, and must not look."""

    def apart(self, **options: Any) -> AbstractAsyncContextManager[Bench]:
        """Give a bench on a cluster that shares no files."""
        raise AssertionError("the class that mixes this in says how")

    def user_modules(self) -> Path:
        modules = Path(self.environment().user_modules)
        modules.mkdir()
        return modules

    async def test_values_and_code_travel(self) -> None:
        modules = self.user_modules()
        (modules / "mine.py").write_text("def version(x):\n    return ['one', x]\n")
        async with self.apart() as bench:
            large = (await bench.finished(bench.call("everything", LARGE))).value
            assert large.kind == "cluster"
            stored = await bench.executor.store(large, "run/large")
            assert stored.kind == "file"
            await bench.executor.forget(bench.run)
            assert not bench.executor.holds(large.handle)
            assert await bench.value(bench.call("type_name", stored)) == "list"
            call = bench.call("user_modules.mine.version", 1)
            assert await bench.value(call) == ["one", 1]
            (modules / "mine.py").write_text("def version(x):\n    return ['two', x, x]\n")
            bench.run = "the-next-run"
            call = bench.call("user_modules.mine.version", 1)
            assert await bench.value(call) == ["two", 1, 1]

    async def test_code_that_is_too_large_fails_its_stage_in_words(self) -> None:
        with (self.user_modules() / "large.py").open("wb") as file:
            file.truncate(21 * 1024 * 1024)
        async with self.apart() as bench:
            failed = await bench.failed(bench.call("nothing"))
            assert "large.py" in failed.error.message
            assert not failed.error.retryable

    async def test_a_spilled_list_of_parts_is_lifted(self) -> None:
        async with self.apart() as bench:
            parts = (Part(0, 2, json_ref([1, 2])), Part(2, 3, json_ref([3])))
            root = bench.environment.values_root
            spilled = store_parts(ValueRef("parts", length=3, parts=parts), root, "r/p")
            assert await bench.value(bench.call("everything", spilled)) == [[1, 2, 3]]

    async def test_artifacts_without_a_storage_fail_in_words(self) -> None:
        async with self.apart() as bench:
            failed = await bench.failed(bench.call(f"{BODIES}:save"))
            assert "no storage" in failed.error.message
            assert not failed.error.retryable
            rows = await bench.executor.check()
            assert "executor.no_storage" in [row.code for row in rows]
            assert [row for row in rows if row.level == "failed"] == []
        async with self.apart(storage=f"file://{self.folder}/shared") as bench:
            assert await bench.value(bench.call(f"{BODIES}:save")) == "saved"
            assert (self.folder / "shared").is_dir()


class OneWriter(RunsExecutor):
    """Writers of one key of the cluster memory keep each other out, on whichever worker they are."""

    def two_workers(self) -> AbstractAsyncContextManager[Bench]:
        """Give a bench with two workers, whose bodies have one cluster memory."""
        raise AssertionError("the class that mixes this in says how")

    def _counting(self, bench: Bench, times: int, *, writers: int = 1) -> TaskCall:
        return bench.call(f"{BODIES}:count_up", "counter", times, str(self.folder), writers)

    async def test_no_count_of_two_writers_is_lost(self) -> None:
        async with self.two_workers() as bench:
            writers: set[int] = set()

            async def write() -> None:
                call = self._counting(bench, 50, writers=2)
                outcome = await bench.executor.execute(call, lambda event: None)
                writers.add(bench.decode(outcome.value))  # type: ignore[union-attr]

            async with trio.open_nursery() as nursery:
                nursery.start_soon(write)
                nursery.start_soon(write)
            assert len(writers) == 2
            assert await bench.value(bench.call(f"{BODIES}:counted", "counter")) == 100

    async def test_a_killed_holder_leaves_the_lock_free(self) -> None:
        async with self.two_workers() as bench:
            async with trio.open_nursery() as nursery:
                outcomes: list[Outcome] = []
                held = self.folder / "held"
                holder = bench.call(f"{BODIES}:hold_until_killed", "counter", str(self.folder))
                nursery.start_soon(keep, bench, holder, outcomes)
                await until(held.exists)
                nursery.start_soon(keep, bench, self._counting(bench, 1), outcomes)
                await until(lambda: any(self.folder.glob("writer-*")))
                await trio.sleep(1.0)
                assert outcomes == []  # it is kept out
                os.kill(int(held.read_text(encoding="utf-8").split()[0]), signal.SIGKILL)
            assert sorted(type(one).__name__ for one in outcomes) == ["Finished", "Lost"]
            assert await bench.value(bench.call(f"{BODIES}:counted", "counter")) == 1


class OneWriterOfMany(OneWriter):
    """The same where a worker may go with its machine: nobody can tell of its locks."""

    @pytest.mark.clusters
    async def test_a_host_that_goes_with_the_holder_leaves_the_lock_free(self) -> None:
        async with self.two_workers() as bench, trio.open_nursery() as nursery:
            outcomes: list[Outcome] = []
            held = self.folder / "held"
            holder = bench.call(f"{BODIES}:hold_until_killed", "counter", str(self.folder))
            nursery.start_soon(keep, bench, holder, outcomes)
            await until(held.exists)
            os.kill(int(held.read_text(encoding="utf-8").split()[1]), signal.SIGKILL)
            await until(lambda: len(outcomes) == 1)
            nursery.start_soon(keep, bench, self._counting(bench, 1), outcomes)
        assert [type(one).__name__ for one in outcomes] == ["Lost", "Finished"]
