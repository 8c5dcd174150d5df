"""One running executor for many tests: a driver of Ray takes seconds to join, a test milliseconds.

The executor runs on a trio loop in a thread of its own; tests get a `Borrowed` one, each on its own loop.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import trio

from flowdapt.domain.errors import ExecutorUnavailable
from flowdapt.ports.executor import Executor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from flowdapt.domain.finding import Finding
    from flowdapt.domain.task import Outcome, TaskCall, TaskEvent, ValueRef
    from flowdapt.ports.executor import Capabilities, Capacity, Emit, Scale, WorkerInfo

__all__ = ["Borrowed", "Lent", "lent"]


class Lent:
    """The executor, and the loop that it runs on."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            trio.run(self._serve)
        except BaseException as error:
            self._error = error
        self._ready.set()

    async def _serve(self) -> None:
        async with trio.open_nursery() as self._nursery:
            await self._nursery.start(self._serve_executor)
            self._token = trio.lowlevel.current_trio_token()
            self._ready.set()

    async def _serve_executor(self, *, task_status: trio.TaskStatus[None]) -> None:
        await self.executor.run(task_status=task_status)

    async def ask(self, question: Callable[[], Awaitable[Any]]) -> Any:
        """Have something done over there; a cancel here is one there."""
        here = trio.lowlevel.current_trio_token()
        scope, done = trio.CancelScope(), trio.Event()
        results: list[Any] = []
        errors: list[Exception] = []

        async def work() -> None:
            with scope:
                try:
                    results.append(await question())
                except Exception as error:
                    errors.append(error)
            with suppress(trio.RunFinishedError):
                here.run_sync_soon(done.set)

        self._token.run_sync_soon(self._nursery.start_soon, work)
        try:
            await done.wait()
        except trio.Cancelled:
            self._token.run_sync_soon(scope.cancel)
            with trio.CancelScope(shield=True):
                await done.wait()
            raise
        if errors:
            raise errors[0]
        return results[0]

    def close(self) -> None:
        """End the executor."""
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._nursery.cancel_scope.cancel)
        self._thread.join()


class Borrowed(Executor):
    """An executor that runs already; it is let go, not ended."""

    kind = "borrowed"
    capabilities: Capabilities

    def __init__(self, lent: Lent) -> None:
        self._lent = lent
        self._runs = False

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        self._runs = True
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            self._runs = False

    def capacity(self) -> Capacity:
        return self._lent.executor.capacity()

    def workers(self) -> list[WorkerInfo]:
        return self._lent.executor.workers()

    def scale(self) -> Scale:
        return self._lent.executor.scale()

    def holds(self, handle: str) -> bool:
        return self._lent.executor.holds(handle)

    async def execute(self, call: TaskCall, emit: Emit) -> Outcome:
        if not self._runs:
            raise ExecutorUnavailable("it does not run")
        here = trio.lowlevel.current_trio_token()

        def pass_on(event: TaskEvent) -> None:
            here.run_sync_soon(emit, event)

        outcome: Outcome = await self._lent.ask(lambda: self._lent.executor.execute(call, pass_on))
        return outcome

    async def store(self, ref: ValueRef, name: str) -> ValueRef:
        stored: ValueRef = await self._lent.ask(lambda: self._lent.executor.store(ref, name))
        return stored

    async def forget(self, run: str) -> None:
        await self._lent.ask(lambda: self._lent.executor.forget(run))

    async def check(self) -> list[Finding]:
        rows: list[Finding] = await self._lent.ask(self._lent.executor.check)
        return rows


@contextmanager
def lent(executor: Executor) -> Iterator[Lent]:
    """Run an executor for a `with` block."""
    running = Lent(executor)
    try:
        yield running
    finally:
        running.close()
