"""Threads of this process as an executor: any function is a target, and a cancel is a flag."""

from __future__ import annotations

import logging
import sys
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio

from flowdapt import get_run_context
from flowdapt.domain.task import Failed, MapSlice, Progress
from flowdapt.plugins.executors.inprocess import InProcessExecutor
from flowdapt.testing.executor_calls import Bench, lines_of, until
from tests.executors.workbench import environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.trio


@asynccontextmanager
async def inprocess(folder: Path, slots: int = 2) -> AsyncIterator[tuple[Bench, Any]]:
    where = environment(folder)
    executor = InProcessExecutor(where, slots=slots)
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            await nursery.start(lambda task_status: executor.run(task_status=task_status))
            yield Bench(executor, where, "run-1"), executor.register
            nursery.cancel_scope.cancel()


async def test_any_function_is_a_target(tmp_path: Path) -> None:
    seen = []

    def local(a: int, b: int = 2) -> int:
        seen.append(threading.current_thread())
        return a * b

    async with inprocess(tmp_path) as (bench, register):
        assert register(local) == register(local)
        assert await bench.value(bench.call(register(local), given={"a": 21})) == 42
        assert await bench.value(bench.call(register(lambda x: x + 1), 1)) == 2
        assert seen[0] is not threading.main_thread()


async def test_functions_of_one_name_are_told_apart(tmp_path: Path) -> None:
    def make(value: int) -> Any:
        def same() -> int:
            return value

        return same

    async with inprocess(tmp_path) as (bench, register):
        targets = [register(make(value)) for value in range(3)]
        assert [await bench.value(bench.call(target)) for target in targets] == [0, 1, 2]


async def test_items_run_in_a_slice(tmp_path: Path) -> None:
    async with inprocess(tmp_path) as (bench, register):
        call = bench.call(register(lambda x: x * x), [1, 2, 3], map=MapSlice(0, 3))
        assert await bench.value(call) == [1, 4, 9]


async def test_tasks_at_once_know_each_its_own_context(tmp_path: Path) -> None:
    meeting = threading.Barrier(2, timeout=20)

    def who() -> list[str]:
        before = get_run_context().stage
        meeting.wait()
        logging.getLogger("mine").warning("I am %s", before)
        return [before, get_run_context().stage]

    async with inprocess(tmp_path) as (bench, register):
        found: dict[str, Any] = {}

        async def one(stage: str) -> None:
            events: list[Any] = []
            call = bench.call(register(who), stage=stage)
            outcome = await bench.executor.execute(call, events.append)
            found[stage] = (bench.decode(outcome.value), lines_of(events))  # type: ignore[union-attr]

        async with trio.open_nursery() as nursery:
            nursery.start_soon(one, "left")
            nursery.start_soon(one, "right")
        assert found == {
            "left": (["left", "left"], ["I am left"]),
            "right": (["right", "right"], ["I am right"]),
        }


async def test_events_come_while_the_body_runs(tmp_path: Path) -> None:
    gate = threading.Event()

    def body() -> None:
        get_run_context().progress(1, 2)
        gate.wait(20)

    async with inprocess(tmp_path) as (bench, register), trio.open_nursery() as nursery:
        nursery.start_soon(bench.outcome, bench.call(register(body)))
        await until(lambda: Progress(1, 2) in bench.events)
        gate.set()


async def test_a_deaf_body_is_left_to_itself_and_keeps_its_slot(tmp_path: Path) -> None:
    gate, began = threading.Event(), threading.Event()

    def deaf() -> None:
        began.set()
        gate.wait(20)

    async with inprocess(tmp_path, slots=1) as (bench, register):
        took = await bench.cancelled(bench.call(register(deaf), grace_s=0.1), began.is_set)
        assert took < 2
        with trio.move_on_after(0.1) as waiting:
            await bench.outcome(bench.call(register(deaf)))
        assert waiting.cancelled_caught
        gate.set()
        assert await bench.value(bench.call("everything", 1)) == [1]


async def test_an_exit_in_a_body_does_not_end_the_process(tmp_path: Path) -> None:
    async with inprocess(tmp_path) as (bench, register):
        await bench.lost(bench.call(register(lambda: sys.exit(0))))


async def test_a_keyboard_interrupt_of_a_body_is_its_failure(tmp_path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    async with inprocess(tmp_path) as (bench, register):
        outcome = await bench.outcome(bench.call(register(interrupt)))
        assert isinstance(outcome, Failed)
        assert outcome.error.type == "builtins.KeyboardInterrupt"


async def test_the_import_system_is_as_before(tmp_path: Path) -> None:
    before = (list(sys.path), list(sys.path_hooks), list(sys.meta_path))
    folder = tmp_path / "user_modules"
    folder.mkdir()
    (folder / "mine.py").write_text("def f():\n    return 'mine'\n", encoding="utf-8")
    async with inprocess(tmp_path) as (bench, _):
        assert await bench.value(bench.call("user_modules.mine.f")) == "mine"
    assert (list(sys.path), list(sys.path_hooks), list(sys.meta_path)) == before
    assert "user_modules.mine" not in sys.modules
