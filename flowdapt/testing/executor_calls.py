"""What tests of an executor stand on: calls, a running executor, and what came of them."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from flowdapt.domain.task import (
    Failed,
    Finished,
    LogLine,
    Lost,
    Outcome,
    RunInfo,
    TaskCall,
    TaskEvent,
    ValueRef,
    WorkerEnvironment,
)
from flowdapt.ports.executor import Executor
from flowdapt.runtime.values import decode
from flowdapt.testing.executor_stages import target

__all__ = ["Bench", "RunsExecutor", "json_ref", "lines_of"]

PATIENCE_S = 60.0
_numbers = itertools.count(1)


def json_ref(value: Any) -> ValueRef:
    """Return an inline reference to a JSON value."""
    data = msgspec.json.encode(value)
    length = len(value) if isinstance(value, list) else None
    return ValueRef("inline", "json", data, size_bytes=len(data), length=length)


def lines_of(events: list[TaskEvent], stream: str | None = None) -> list[str]:
    """Return the texts of the log lines, of one stream or of all."""
    return [
        event.text
        for event in events
        if isinstance(event, LogLine) and stream in (None, event.stream)
    ]


class Bench:
    """A running executor and the calls to try on it."""

    def __init__(self, executor: Executor, environment: WorkerEnvironment, run: str) -> None:
        self.executor = executor
        self.environment = environment
        self.run = run
        self.events: list[TaskEvent] = []

    def call(self, name: str, *args: Any, given: Any = None, **more: Any) -> TaskCall:
        """Return a call of a stage function of the contract, or of a whole target.

        Values become JSON references; a `given` input is bound by name, `args` in order.
        """
        refs = tuple(arg if isinstance(arg, ValueRef) else json_ref(arg) for arg in args)
        # Stages are told apart by name, so that their files never meet.
        stage = more.pop("stage", f"stage-{next(_numbers)}")
        if given is not None:
            more.setdefault("bind", "input")
        run = RunInfo(
            self.run, "calm-otter-1", "contract", 1, "default", "x", "api", json_ref(given or {})
        )
        where = name if ":" in name or "." in name else target(name)
        return TaskCall(
            run, stage, where, f"{self.run}/{stage}", 1, 1, args=refs, **{"grace_s": 1.0, **more}
        )

    async def outcome(self, call: TaskCall) -> Outcome:
        """Run the call; `events` holds what was emitted meanwhile."""
        events: list[TaskEvent] = []
        self.events = events
        return await self.executor.execute(call, events.append)

    async def finished(self, call: TaskCall) -> Finished:
        """Run a call that must end well."""
        outcome = await self.outcome(call)
        assert isinstance(outcome, Finished), outcome
        return outcome

    async def failed(self, call: TaskCall) -> Failed:
        """Run a call whose body must fail."""
        outcome = await self.outcome(call)
        assert isinstance(outcome, Failed), outcome
        return outcome

    async def lost(self, call: TaskCall) -> Lost:
        """Run a call that must cost its worker."""
        outcome = await self.outcome(call)
        assert isinstance(outcome, Lost), outcome
        return outcome

    async def value(self, call: TaskCall) -> Any:
        """Run a call that must end well and return its value, decoded."""
        return self.decode((await self.finished(call)).value)

    def decode(self, ref: ValueRef) -> Any:
        """Return the value behind a reference."""
        return decode(ref, self.environment.values_root)

    async def cancelled(self, call: TaskCall, when: Callable[[], bool]) -> float:
        """Start a call, cancel it when `when` is true; return the seconds until it was free."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.outcome, call)
            await until(when)
            began = trio.current_time()
            nursery.cancel_scope.cancel()
        return trio.current_time() - began


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is true, within the patience of the test around."""
    while not condition():  # noqa: ASYNC110  (files and processes have no event)
        await trio.sleep(0.005)


class RunsExecutor(ABC):
    """Give `make`, and the tests below have a running executor."""

    pytestmark = pytest.mark.trio

    @abstractmethod
    async def make(self, environment: WorkerEnvironment) -> Executor:
        """Return a new executor that is not running yet."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def environment(self) -> WorkerEnvironment:
        """Return where workers of one test find things."""
        return WorkerEnvironment(
            values_root=str(self.folder / "values"),
            artifacts_url=str(self.folder / "artifacts"),
            memory_root=str(self.folder / "memory"),
            user_modules=str(self.folder / "user_modules"),
        )

    @asynccontextmanager
    async def bench(self, environment: WorkerEnvironment | None = None) -> AsyncIterator[Bench]:
        """Run a new executor for a `with` block, with a bound on the whole."""
        environment = environment or self.environment()
        executor = await self.make(environment)
        try:
            with trio.fail_after(PATIENCE_S):
                async with trio.open_nursery() as nursery:
                    await nursery.start(_serve, executor)
                    yield Bench(executor, environment, f"run-{next(_numbers)}")
                    nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise _only(group) from None


def _only(group: BaseException) -> BaseException:
    """Return what went wrong, out of the nurseries around it: a test reads better so."""
    while isinstance(group, BaseExceptionGroup) and len(group.exceptions) == 1:
        group = group.exceptions[0]
    return group


async def _serve(executor: Executor, *, task_status: trio.TaskStatus[None]) -> None:
    await executor.run(task_status=task_status)
