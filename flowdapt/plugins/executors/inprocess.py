"""Runs tasks in threads of this process, for tests and notebooks: functions need no import path here.

Same binding, values and context as a worker; no isolation, no capture of what is printed, and a
cancel is only a flag. Secrets reach the context, not the environment, which all threads share.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

import trio

from flowdapt.domain.errors import ExecutorUnavailable
from flowdapt.ports.executor import Capabilities, Capacity, Executor, WorkerInfo
from flowdapt.runtime.extensions import start_extensions
from flowdapt.runtime.invoke import Invoker
from flowdapt.runtime.modules import Targets
from flowdapt.runtime.stage_logs import ContextLogHandler

if TYPE_CHECKING:
    from collections.abc import Callable

    from flowdapt.domain.task import Outcome, TaskCall, TaskEvent, WorkerEnvironment
    from flowdapt.ports.executor import Emit
    from flowdapt.runtime.context import RunContext

__all__ = ["InProcessExecutor"]

_PREFIX = "inprocess:"


class InProcessExecutor(Executor):
    """Calls the functions here. `slots` bodies run at once, each in a thread."""

    kind: ClassVar[str] = "inprocess"
    capabilities: ClassVar[Capabilities] = Capabilities()

    def __init__(self, environment: WorkerEnvironment, *, slots: int | None = None) -> None:
        self._environment = environment
        self._slots = slots or os.cpu_count() or 1
        self._limiter = trio.CapacityLimiter(self._slots)
        self._targets = Targets(environment.user_modules, environment.python_path)
        self._functions: dict[str, Callable[..., Any]] = {}
        self._lock = threading.Lock()
        self._spare: list[_Body] = []
        self._running: dict[int, TaskCall] = {}
        self._open = False

    def register(self, function: Callable[..., Any]) -> str:
        """Return a target for a function of this process; the same one for the same function."""
        for target, known in self._functions.items():
            if known is function:
                return target
        name = re.sub(r"\W", "_", getattr(function, "__name__", type(function).__name__)).strip("_")
        target = f"{_PREFIX}{name or 'function'}_{len(self._functions) + 1}"
        self._functions[target] = function
        return target

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        handler, root = ContextLogHandler(), logging.getLogger()
        root.addHandler(handler)
        self._open = True
        start_extensions(self._environment.extensions, self._targets.find)
        try:
            task_status.started()
            await trio.sleep_forever()
        finally:
            self._open = False
            root.removeHandler(handler)
            self._targets.close()

    def capacity(self) -> Capacity:
        return Capacity(slots=self._slots, cpus=float(self._slots))

    def workers(self) -> list[WorkerInfo]:
        return [
            WorkerInfo(f"thread-{number}", "busy", os.getpid(), call.task_key)
            for number, call in enumerate(self._running.values(), 1)
        ]

    async def execute(self, call: TaskCall, emit: Emit) -> Outcome:
        if not self._open:
            raise ExecutorUnavailable("the in-process executor is not running")
        body = self._spare.pop() if self._spare else _Body(self._environment, self._find)
        relay = _Relay(emit)
        self._running[id(relay)] = call
        try:
            outcome = await trio.to_thread.run_sync(
                body.run, call, relay, abandon_on_cancel=True, limiter=self._limiter
            )
        except trio.Cancelled:
            body.request_cancel()
            with trio.move_on_after(call.grace_s, shield=True):
                await relay.done.wait()
            relay.close()
            raise
        finally:
            del self._running[id(relay)]
        relay.drain()
        self._spare.append(body)
        return outcome

    def _find(self, target: str) -> Callable[..., Any]:
        if target.startswith(_PREFIX) and target in self._functions:
            return self._functions[target]
        with self._lock:
            return self._targets.find(target)


class _Body:
    """One invoker and the context that it runs in; used by one thread at a time."""

    def __init__(
        self, environment: WorkerEnvironment, find: Callable[[str], Callable[..., Any]]
    ) -> None:
        self._invoker = Invoker(environment, find, self._enter)
        self._context: RunContext | None = None
        self._cancelled = False

    def run(self, call: TaskCall, relay: _Relay) -> Outcome:
        try:
            return self._invoker.run(call, relay.say)
        finally:
            self._context = None
            relay.tell_done()

    def request_cancel(self) -> None:
        self._cancelled = True
        if self._context is not None:
            self._context.request_cancel()

    def _enter(self, context: RunContext) -> None:
        self._context = context
        if self._cancelled:
            context.request_cancel()


class _Relay:
    """Brings what a thread says to the loop's thread, in order."""

    def __init__(self, emit: Emit) -> None:
        self._emit: Emit | None = emit
        self._waiting: deque[TaskEvent] = deque()
        self._token = trio.lowlevel.current_trio_token()
        self.done = trio.Event()

    def say(self, event: TaskEvent) -> None:
        self._waiting.append(event)
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self.drain, idempotent=True)

    def drain(self) -> None:
        while self._waiting and self._emit is not None:
            self._emit(self._waiting.popleft())

    def close(self) -> None:
        """Drop what an abandoned body says from here on."""
        self.drain()
        self._emit = None

    def tell_done(self) -> None:
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self.done.set)
