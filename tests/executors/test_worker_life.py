"""How worker processes live: warm, put back after each task, gone when idle, never longer than their daemon."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from flowdapt.domain.errors import ExecutorUnavailable
from flowdapt.domain.task import Finished, LogLine
from flowdapt.plugins.executors.local.gpus import GpuShares
from flowdapt.testing.executor_calls import Bench, lines_of, until
from tests.executors.workbench import children_of, lives, local, poison, soon
from tests.house.source import ROOT
from tests.waiting import eventually

pytestmark = pytest.mark.trio


_edits = itertools.count(1)
_second = time.time_ns() // 10**9 * 10**9


def user_module(folder: Path, name: str, text: str) -> None:
    path = folder / "user_modules" / f"{name}.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    # Some kernels have ticks of milliseconds: time goes on, whatever they say.
    stamp = _second + 1000 * next(_edits)
    os.utime(path, ns=(stamp, stamp))


# --- between tasks --------------------------------------------------------------------------------


async def test_what_a_task_disturbed_is_put_back(tmp_path: Path) -> None:
    async with local(tmp_path, slots=1) as bench:
        before = await bench.value(bench.call(poison("look_around")))
        await bench.finished(bench.call(poison("disturb"), str(tmp_path)))
        after = await bench.value(bench.call(poison("look_around")))
        assert after == before
        assert lines_of(bench.events, "log") == ["logged"]
        assert sorted(lines_of(bench.events, "stdout")) == ["printed", "written"]
        assert lines_of(bench.events, "stderr") == ["written too"]
        assert after["sigterm"]
        assert after["sigalrm"]
        assert after["blocked"] == []


async def test_a_worker_serves_many_tasks(tmp_path: Path) -> None:
    async with local(tmp_path, slots=2) as bench:
        pids = {await bench.value(bench.call(poison("pid"))) for _ in range(20)}
        assert len(pids) == 1


async def test_idle_workers_end_and_start_again_on_demand(tmp_path: Path) -> None:
    # Other tests' servers may be children of this process too.
    before = set(children_of(os.getpid()))
    async with local(tmp_path, idle_timeout_s=0.1) as bench:
        first = await bench.value(bench.call(poison("pid")))
        await soon(lambda: not bench.executor.workers(), seconds=5, what="the worker ends")
        await soon(
            lambda: before >= {*children_of(os.getpid())}, seconds=5, what="no child is left"
        )
        assert not lives(first)
        assert await bench.value(bench.call(poison("pid"))) != first


async def test_warm_workers_are_there_before_the_first_task(tmp_path: Path) -> None:
    async with local(tmp_path, slots=2, warm=1) as bench:
        (worker,) = bench.executor.workers()
        assert worker.state == "idle"
        assert await bench.value(bench.call(poison("pid"))) == worker.pid


async def test_a_sandbox_without_pidfd_serves_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(pid: int) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "pidfd_open", refuse)
    async with local(tmp_path) as bench:
        await bench.lost(bench.call("die", 7))
        assert await bench.value(bench.call("everything", 1)) == [1]


async def test_the_slots_bound_the_number_of_processes(tmp_path: Path) -> None:
    async with local(tmp_path, slots=1) as bench:
        await bench.finished(bench.call(poison("pid")))
        alone = await bench.value(bench.call(poison("pid"), isolate=True))
        await soon(lambda: not lives(alone), seconds=5, what="the fresh one ends")
        assert len(bench.executor.workers()) <= 1


async def test_a_task_is_seen_in_its_worker(tmp_path: Path) -> None:
    async with local(tmp_path) as bench, trio.open_nursery() as nursery:
        gate = tmp_path / "gate"
        call = bench.call(poison("wait"), str(gate))
        nursery.start_soon(bench.outcome, call)
        await until(lambda: any(w.state == "busy" for w in bench.executor.workers()))
        (worker,) = bench.executor.workers()
        assert worker.task_key == call.task_key
        assert worker.rss_bytes
        gate.touch()


# --- code -----------------------------------------------------------------------------------------


async def test_an_edit_is_seen_by_the_next_task(tmp_path: Path) -> None:
    user_module(tmp_path, "mine", "def f():\n    return 1\n")
    async with local(tmp_path, slots=1) as bench:
        for number in range(1, 10):
            # The same size within one second: bytecode files could not tell.
            user_module(tmp_path, "mine", f"def f():\n    return {number}\n")
            assert await bench.value(bench.call("user_modules.mine.f")) == number


async def test_an_edit_of_what_a_module_imports_is_seen(tmp_path: Path) -> None:
    user_module(tmp_path, "deep", "VALUE = 1\n")
    user_module(
        tmp_path, "top", "from user_modules.deep import VALUE\ndef f():\n    return VALUE\n"
    )
    async with local(tmp_path, slots=1) as bench:
        assert await bench.value(bench.call("user_modules.top.f")) == 1
        user_module(tmp_path, "deep", "VALUE = 2\n")
        assert await bench.value(bench.call("user_modules.top.f")) == 2


async def test_a_module_that_came_later_is_found(tmp_path: Path) -> None:
    async with local(tmp_path, slots=1) as bench:
        failed = await bench.failed(bench.call("user_modules.late.f"))
        assert failed.error.type == "flowdapt.domain.errors.TargetMissing"
        assert f"{tmp_path}/" in failed.error.message  # in whose folder it was looked for
        user_module(tmp_path, "late", "def f():\n    return 'here'\n")
        assert await bench.value(bench.call("user_modules.late.f")) == "here"


async def test_a_broken_module_fails_until_it_is_mended(tmp_path: Path) -> None:
    user_module(tmp_path, "broken", "def f(:\n")
    async with local(tmp_path, slots=1) as bench:
        failed = await bench.failed(bench.call("user_modules.broken.f"))
        assert failed.error.type == "builtins.SyntaxError"
        assert "broken.py" in failed.error.traceback
        assert not failed.error.retryable
        user_module(tmp_path, "broken", "def f():\n    return 'mended'\n")
        assert await bench.value(bench.call("user_modules.broken.f")) == "mended"


async def test_a_module_that_raises_at_import_fails_with_its_error(tmp_path: Path) -> None:
    user_module(tmp_path, "sour", "raise KeyError('sour')\n")
    async with local(tmp_path) as bench:
        failed = await bench.failed(bench.call("user_modules.sour.f"))
        assert failed.error.type == "builtins.KeyError"
        assert not failed.error.retryable


async def test_a_missing_import_of_a_module_is_told_as_such(tmp_path: Path) -> None:
    user_module(tmp_path, "needy", "import no_such_library\n")
    async with local(tmp_path) as bench:
        failed = await bench.failed(bench.call("user_modules.needy.f"))
        assert failed.error.type == "builtins.ModuleNotFoundError"
        assert "no_such_library" in failed.error.message


async def test_a_module_that_hangs_at_import_is_lost_at_the_start_timeout(tmp_path: Path) -> None:
    user_module(tmp_path, "slow", "import time\ntime.sleep(600)\n")
    async with local(tmp_path, patience_s=20) as bench:
        lost = await bench.lost(bench.call("user_modules.slow.f", start_timeout_s=0.3))
        assert lost.reason == "start_timeout"
        assert await bench.value(bench.call("everything", 1)) == [1]


async def test_a_file_of_the_project_does_not_replace_pythons_own(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('shadowed')", encoding="utf-8")
    (tmp_path / "project.py").write_text(
        "import json\ndef f():\n    return json.loads('[1]')\n", encoding="utf-8"
    )
    from flowdapt.plugins.executors.local import LocalExecutor, LocalOptions
    from tests.executors.workbench import environment

    where = environment(tmp_path, cwd=str(tmp_path))
    import msgspec

    where = msgspec.structs.replace(where, python_path=(str(tmp_path),))
    executor = LocalExecutor(LocalOptions(slots=1), where)
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            await nursery.start(lambda task_status: executor.run(task_status=task_status))
            bench = Bench(executor, where, "run-1")
            assert await bench.value(bench.call("project.f")) == [1]
            nursery.cancel_scope.cancel()


# --- GPUs and variables ---------------------------------------------------------------------------


async def test_a_share_of_a_gpu_pins_its_device(tmp_path: Path) -> None:
    async with local(tmp_path, slots=2, gpus=2) as bench:
        half = {"gpus": 0.5}
        assert await bench.value(bench.call(poison("devices"), resources=half)) == "0"
        assert await bench.value(bench.call(poison("devices"), resources={"gpus": 2.0})) == "0,1"
        assert await bench.value(bench.call(poison("devices"), gpu_devices="7")) == "7"
        assert await bench.value(bench.call(poison("devices"))) is None


async def test_shares_fill_a_device_before_the_next_one() -> None:
    shares = GpuShares(["a", "b"])
    with shares.take(0.6) as first, shares.take(0.6) as second, shares.take(0.4) as third:
        assert first != second
        assert third in (first, second)
        with shares.take(0.3) as fourth:
            assert fourth != third


async def test_secrets_of_the_daemon_are_not_inherited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWDAPT_SECRET_TOKEN", "hush")
    user_module(tmp_path, "env", "import os\ndef f():\n    return sorted(os.environ)\n")
    async with local(tmp_path) as bench:
        names = await bench.value(bench.call("user_modules.env.f"))
        assert "PATH" in names
        assert "FLOWDAPT_SECRET_TOKEN" not in names


# --- the end --------------------------------------------------------------------------------------


async def test_a_cancel_while_the_process_starts_leaves_nothing(tmp_path: Path) -> None:
    async with local(tmp_path) as bench:
        with trio.move_on_after(0.01):
            await bench.outcome(bench.call(poison("wait"), str(tmp_path / "never"), grace_s=0.2))
        await soon(lambda: not bench.executor.workers(), seconds=5, what="the worker ends")
        assert await bench.value(bench.call("everything", 1)) == [1]


async def test_a_cancel_that_meets_the_end_of_its_task_costs_no_grace(tmp_path: Path) -> None:
    async with local(tmp_path, slots=1) as bench:
        await bench.value(bench.call("everything", 1))
        (worker,) = bench.executor.workers()
        gate = tmp_path / "gate"
        waits = bench.call(poison("wait"), str(gate), grace_s=5.0)
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(bench.outcome, waits)
                await soon(
                    lambda: bench.executor.workers()[0].state == "busy", seconds=5, what="it"
                )
                gate.touch()
                # The loop stands still meanwhile: the outcome lies unread when the cancel comes.
                eventually(_is_asleep(worker.pid), what="the worker waits for its next task")
                scope.cancel()
                began = trio.current_time()
        assert trio.current_time() - began < 2.0
        assert not lives(worker.pid)


def _is_asleep(pid: int) -> Callable[[], bool]:
    """Return a probe: a process slept at ten looks in a row, long after it saw the gate."""
    seen: deque[bytes] = deque(maxlen=10)

    def look() -> bool:
        seen.append(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0])
        return list(seen) == [b"S"] * 10

    return look


async def test_closing_tells_the_tasks_that_they_did_not_begin(tmp_path: Path) -> None:
    async with local(tmp_path) as bench:
        witness = tmp_path / "witness"
        unavailable: list[ExecutorUnavailable] = []

        async def one() -> None:
            try:
                await bench.outcome(bench.call("run_for_ever", str(witness)))
            except ExecutorUnavailable as error:
                unavailable.append(error)

        from flowdapt.plugins.executors.local import LocalExecutor, LocalOptions

        bench.executor = LocalExecutor(LocalOptions(slots=1), bench.environment)
        async with trio.open_nursery() as tasks, trio.open_nursery() as service:
            await service.start(lambda task_status: bench.executor.run(task_status=task_status))
            tasks.start_soon(one)
            await until(witness.exists)
            service.cancel_scope.cancel()
        assert len(unavailable) == 1
        assert not lives(int(witness.read_text()))


_DAEMON = """
import os, sys, trio
from pathlib import Path
from flowdapt.testing.executor_calls import Bench
from flowdapt.plugins.executors.local import LocalExecutor, LocalOptions
from tests.executors.workbench import environment, poison

async def main():
    folder = Path(sys.argv[1])
    where = environment(folder)
    executor = LocalExecutor(LocalOptions(slots=2), where)
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda task_status: executor.run(task_status=task_status))
        bench = Bench(executor, where, "run-1")
        nursery.start_soon(bench.outcome, bench.call("run_for_ever", str(folder / "worker")))
        left = bench.call(poison("leave_hanging"), str(folder / "left"))
        nursery.start_soon(bench.outcome, left)

trio.run(main)
"""


async def test_nothing_outlives_a_killed_daemon(tmp_path: Path) -> None:
    daemon = subprocess.Popen(
        [sys.executable, "-c", _DAEMON, str(tmp_path)],
        cwd=ROOT,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    try:
        witnesses = [tmp_path / "worker", tmp_path / "left"]
        await soon(lambda: all(w.exists() for w in witnesses), seconds=20, what="both run")
        pids = [int(w.read_text()) for w in witnesses] + children_of(daemon.pid)
        assert all(map(lives, pids))
        os.killpg(daemon.pid, signal.SIGKILL)
        daemon.wait()
        await soon(lambda: not any(map(lives, pids)), seconds=2, what="all are gone")
    finally:
        daemon.kill()
        daemon.wait()


async def test_a_later_daemon_sweeps_what_an_earlier_one_left(tmp_path: Path) -> None:
    from flowdapt.plugins import ending
    from tests.executors.workbench import environment

    directory = ending._directory(environment(tmp_path))
    left = subprocess.Popen(
        ["sleep", "600"], env={"FLOWDAPT_WORKER": f"{directory}:999999999.1:1:local-1:"}
    )
    mine = subprocess.Popen(
        ["sleep", "600"], env={"FLOWDAPT_WORKER": ending.new_mark(environment(tmp_path))}
    )
    try:
        async with local(tmp_path):
            await soon(lambda: not lives(left.pid), seconds=5, what="the old one ends")
            assert lives(mine.pid)
    finally:
        for process in (left, mine):
            process.kill()
            process.wait()


async def test_lines_and_outcomes_of_many_tasks_never_mix(tmp_path: Path) -> None:
    async with local(tmp_path, slots=2) as bench:

        async def one(words: str) -> None:
            events: list[object] = []
            outcome = await bench.executor.execute(bench.call("speak", words), events.append)
            assert isinstance(outcome, Finished)
            assert bench.decode(outcome.value) == words
            lines = [event.text for event in events if isinstance(event, LogLine)]
            assert len(lines) == 4
            assert all(line.endswith(words) for line in lines)

        async with trio.open_nursery() as nursery:
            for number in range(40):
                nursery.start_soon(one, json.dumps(number))
