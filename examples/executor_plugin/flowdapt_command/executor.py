"""Run tasks on the machine that a command leads to, which sees the same files as the daemon."""

from __future__ import annotations

import itertools
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, ClassVar

import trio
from pydantic import BaseModel, ConfigDict, Field

from flowdapt.domain.errors import ExecutorUnavailable
from flowdapt.domain.quantities import DurationS
from flowdapt.domain.skew import skew
from flowdapt.domain.task import ErrorInfo, Lost
from flowdapt.ports.executor import Capabilities, Capacity, Executor, WorkerInfo
from flowdapt.runtime.facts import facts
from flowdapt.runtime.frames import BadFrame
from flowdapt.runtime.piped import Answers, Hello, Open, Refused, Run, Stop, encode_order

if TYPE_CHECKING:
    from flowdapt.domain.finding import Finding
    from flowdapt.domain.task import Outcome, TaskCall, WorkerEnvironment
    from flowdapt.ports.executor import Emit
    from flowdapt.runtime.piped import Answer, Order, Said

__all__ = ["CommandExecutor", "CommandOptions"]

BROKEN = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)
PATIENCE_S = 12.0


class CommandOptions(BaseModel):
    """What `flowdapt executor add NAME command --option KEY=VALUE` takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prefix: str = ""  # ssh -T node7
    python: str = sys.executable
    slots: int = Field(default=2, ge=1, le=1024)
    connect_timeout: DurationS = 10.0


class CommandExecutor(Executor):
    """One worker behind one pipe. It runs `slots` tasks at once, each in a process of its own."""

    kind: ClassVar[str] = "command"
    capabilities: ClassVar[Capabilities] = Capabilities(
        kills_on_cancel=True, isolates_crashes=True, streams_logs=True, fresh_process=True
    )
    options: ClassVar[type[BaseModel]] = CommandOptions

    def __init__(self, options: CommandOptions, environment: WorkerEnvironment) -> None:
        self._options = options
        self._environment = environment
        self._slots = trio.CapacityLimiter(options.slots)
        self._sending = trio.Lock()
        self._numbers = itertools.count(1)
        self._tasks: dict[int, _Task] = {}
        self._worker: trio.Process | None = None
        self._facts: dict[str, Any] = {}

    # -- the worker ----------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        answers = Answers()
        with tempfile.TemporaryFile() as stderr:
            self._worker = worker = await self._start(stderr)
            try:
                with trio.move_on_after(self._options.connect_timeout):
                    await self._send(Open(self._environment))
                    await self._listen(worker, answers, until_hello=True)
                if not self._facts:
                    raise ExecutorUnavailable(f"no worker answers: {_last_words(stderr)}")
                task_status.started()
                await self._listen(worker, answers)
                raise ExecutorUnavailable(f"the worker is gone: {_last_words(stderr)}")
            finally:
                self._worker, self._facts = None, {}
                for task in self._tasks.values():
                    task.lose()
                with trio.CancelScope(shield=True):
                    await _end(worker)

    async def _start(self, stderr: IO[bytes]) -> trio.Process:
        prefix = shlex.split(self._options.prefix)
        command = [*prefix, self._options.python, "-P", "-m", "flowdapt.runtime.piped"]
        pipe = subprocess.PIPE
        try:
            return await trio.lowlevel.open_process(
                command, stdin=pipe, stdout=pipe, stderr=stderr, start_new_session=True
            )
        except OSError as error:
            raise ExecutorUnavailable(f"{command[0]} cannot be started: {error}") from error

    async def _send(self, order: Order) -> None:
        # Half an order would garble all that follow: a cancel waits until it is out.
        with trio.move_on_after(PATIENCE_S, shield=True) as patience:
            async with self._sending:
                if self._worker is not None and self._worker.stdin is not None:
                    with suppress(*BROKEN):  # whoever listens hears of the end
                        await self._worker.stdin.send_all(encode_order(order))
        if patience.cancelled_caught and self._worker is not None:
            self._worker.kill()  # it does not even read

    async def _listen(
        self, worker: trio.Process, answers: Answers, *, until_hello: bool = False
    ) -> None:
        assert worker.stdout is not None
        with suppress(*BROKEN, BadFrame):
            async for chunk in worker.stdout:
                for answer in answers.feed(bytes(chunk)):
                    self._hear(answer)
                if until_hello and self._facts:
                    return

    def _hear(self, answer: Answer) -> None:
        if isinstance(answer, Hello):
            self._facts = answer.facts
        elif answer.number in self._tasks:
            self._tasks[answer.number].hear(answer)

    # -- what the daemon asks ------------------------------------------------------------------------

    def capacity(self) -> Capacity:
        return Capacity(slots=self._options.slots, cpus=float(self._facts.get("cpus", 1)))

    def workers(self) -> list[WorkerInfo]:
        if not self._facts:
            return []
        state = "busy" if self._tasks else "idle"
        return [WorkerInfo(self._facts["host"], state, self._facts["pid"])]

    async def check(self) -> list[Finding]:
        return skew(facts(), {self._facts["host"]: self._facts}) if self._facts else []

    async def execute(self, call: TaskCall, emit: Emit) -> Outcome:
        async with self._slots:
            if not self._facts:
                raise ExecutorUnavailable("the worker is not there")
            number = next(self._numbers)
            task = self._tasks[number] = _Task(call, emit)
            try:
                await self._send(Run(number, call))
                return await task.wait()
            except trio.Cancelled:
                await self._send(Stop(number))
                with trio.move_on_after(call.grace_s + 2, shield=True):
                    await task.ended.wait()
                raise
            finally:
                del self._tasks[number]


class _Task:
    """A call that the worker has, and what it said of it so far."""

    def __init__(self, call: TaskCall, emit: Emit) -> None:
        self.ended = trio.Event()
        self._call = call
        self._emit = emit
        self._end: Outcome | ExecutorUnavailable | None = None

    async def wait(self) -> Outcome:
        await self.ended.wait()
        assert self._end is not None
        if isinstance(self._end, ExecutorUnavailable):
            raise self._end
        return self._end

    def hear(self, answer: Said | Refused) -> None:
        if isinstance(answer, Refused):
            self._finish(ExecutorUnavailable(answer.words))
            return
        events, outcome = answer.content()
        for event in events:
            self._emit(event)
        if outcome is not None:
            self._finish(outcome)

    def lose(self) -> None:
        """Say that nobody knows how far it came: flowdapt's retry rules decide what follows."""
        kind = "flowdapt.WorkerLost"
        words = "the connection to the worker broke"
        error = ErrorInfo(kind, words, stage=self._call.stage, bases=(kind,))
        self._finish(Lost("unreachable", error))

    def _finish(self, end: Outcome | ExecutorUnavailable) -> None:
        self._end = self._end or end
        self.ended.set()


async def _end(worker: trio.Process) -> None:
    """Close the worker's stdin, at which it ends all that it runs and itself; then be less polite."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    await worker.stdin.aclose()
    with trio.move_on_after(PATIENCE_S):
        await worker.wait()
    with suppress(ProcessLookupError):
        os.killpg(worker.pid, signal.SIGKILL)
    await worker.wait()
    await worker.stdout.aclose()


def _last_words(stderr: IO[bytes]) -> str:
    stderr.seek(max(stderr.seek(0, os.SEEK_END) - 500, 0))
    return stderr.read().decode(errors="replace").strip() or "it said nothing"
