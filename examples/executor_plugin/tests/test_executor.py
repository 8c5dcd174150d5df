"""The executor keeps flowdapt's contract, and says why when it cannot be had."""

from __future__ import annotations

import os
import signal
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
from flowdapt_command import executor as executor_module
from flowdapt_command.executor import CommandExecutor, CommandOptions
from pydantic import ValidationError

from flowdapt.domain.errors import ExecutorUnavailable
from flowdapt.domain.task import Lost, WorkerEnvironment
from flowdapt.testing import ExecutorContract
from flowdapt.testing.executor_calls import Bench, RunsExecutor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


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


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Bench]:
    """Run an executor until it fails by itself, which it must."""
    where = environment(folder)
    executor = CommandExecutor(CommandOptions(), where)
    with trio.fail_after(30), pytest.RaisesGroup(ExecutorUnavailable):
        async with trio.open_nursery() as nursery:
            await nursery.start(lambda task_status: executor.run(task_status=task_status))
            yield Bench(executor, where, "run-1")
            await trio.sleep_forever()
    assert executor.workers() == []


def pid_of(bench: Bench) -> int:
    (worker,) = bench.executor.workers()
    assert worker.pid is not None
    return worker.pid


@pytest.mark.trio
async def test_a_worker_that_dies_loses_its_tasks_and_ends_the_executor(tmp_path: Path) -> None:
    async with running(tmp_path) as bench:
        call = bench.call("wait", str(tmp_path / "gate"), 1)
        kill = partial(os.kill, pid_of(bench), signal.SIGKILL)
        lost = await bench.executor.execute(call, lambda event: kill())
        assert isinstance(lost, Lost)
        assert "broke" in lost.error.message


@pytest.mark.trio
async def test_a_connection_that_hangs_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor_module, "PATIENCE_S", 0.5)
    async with running(tmp_path) as bench:
        os.kill(pid_of(bench), signal.SIGSTOP)
        await bench.lost(bench.call("everything", "more than a pipe holds" * 10_000))


def test_options_are_read_as_a_person_writes_them() -> None:
    options = CommandOptions.model_validate({"slots": "3", "connect_timeout": "2s"})
    assert (options.slots, options.connect_timeout) == (3, 2.0)
    with pytest.raises(ValidationError):
        CommandOptions.model_validate({"slot": 3})
