"""The executor keeps flowdapt's contract, and says why when it cannot be had."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
import trio
from flowdapt_command.executor import CommandExecutor, CommandOptions
from pydantic import ValidationError

from flowdapt.domain.errors import ExecutorUnavailable
from flowdapt.domain.task import Lost, WorkerEnvironment
from flowdapt.testing import ExecutorContract
from flowdapt.testing.executor_calls import Bench, RunsExecutor

if TYPE_CHECKING:
    from pathlib import Path

    from flowdapt.domain.task import Outcome


def environment(folder: Path) -> WorkerEnvironment:
    names = ("values_root", "artifacts_url", "memory_root", "user_modules")
    return WorkerEnvironment(**{name: str(folder / name) for name in names})


class TestCommand(ExecutorContract):
    capabilities = CommandExecutor.capabilities

    async def make(self, environment: WorkerEnvironment) -> CommandExecutor:
        return CommandExecutor(CommandOptions(prefix="nice -n 5"), environment)

    async def test_tasks_run_behind_the_prefix(self) -> None:
        async with self.bench() as bench:
            assert await bench.value(bench.call("os:nice", 0)) == os.nice(0) + 5


class TestBehindALoginShell(RunsExecutor):
    async def make(self, environment: WorkerEnvironment) -> CommandExecutor:
        prefix = """sh -c 'echo "Welcome to node7!"; exec "$@"' sh"""
        return CommandExecutor(CommandOptions(prefix=prefix), environment)

    async def test_its_greeting_does_no_harm(self) -> None:
        async with self.bench() as bench:
            assert await bench.value(bench.call("everything", 1)) == [1]


@pytest.mark.trio
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (CommandOptions(prefix="no-such-program"), "no-such-program cannot be started"),
        (CommandOptions(prefix="sh -c 'echo host unknown >&2; exit 255'"), "host unknown"),
        (CommandOptions(prefix="env", python="/no/python"), "/no/python"),
        (CommandOptions(prefix="sh -c 'cat >/dev/null'", connect_timeout=0.1), "said nothing"),
    ],
)
async def test_a_worker_that_cannot_be_had_says_why(
    options: CommandOptions, words: str, tmp_path: Path
) -> None:
    executor = CommandExecutor(options, environment(tmp_path))
    with trio.fail_after(30), pytest.raises(ExecutorUnavailable, match=words):
        await executor.run(task_status=trio.TASK_STATUS_IGNORED)


@pytest.mark.trio
async def test_a_worker_that_dies_loses_its_tasks_and_ends_the_executor(tmp_path: Path) -> None:
    where = environment(tmp_path)
    executor = CommandExecutor(CommandOptions(), where)
    outcomes: list[Outcome] = []
    started = trio.Event()

    async def execute() -> None:
        call = Bench(executor, where, "run-1").call("wait", str(tmp_path / "gate"), 1)
        outcomes.append(await executor.execute(call, lambda event: started.set()))

    with trio.fail_after(30), pytest.RaisesGroup(ExecutorUnavailable):
        async with trio.open_nursery() as nursery:
            await nursery.start(lambda task_status: executor.run(task_status=task_status))
            async with trio.open_nursery() as calls:
                calls.start_soon(execute)
                await started.wait()
                (worker,) = executor.workers()
                assert worker.state == "busy"
                assert worker.pid is not None
                os.kill(worker.pid, signal.SIGKILL)
            (lost,) = outcomes
            assert isinstance(lost, Lost)
            assert "broke" in lost.error.message
            await trio.sleep_forever()
    assert executor.workers() == []


def test_options_are_checked() -> None:
    with pytest.raises(ValidationError):
        CommandOptions.model_validate({"slot": 3})
