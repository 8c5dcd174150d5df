"""Decide how the daemon uses an engine in another process: one message a call, one answer, every end told.

An executor of a cluster subclasses `BridgedExecutor` and names its engine; it has no code of its own here.
"""

from __future__ import annotations

import itertools
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import structlog
import trio

from flowdapt.domain.errors import ExecutorUnavailable, MissingObject
from flowdapt.domain.handles import handles_of
from flowdapt.domain.task import Finished, Lost, Started
from flowdapt.plugins.bridge import wire
from flowdapt.plugins.bridge.launch import BridgeProcess
from flowdapt.plugins.ending import Guard, new_mark, sweep_stale
from flowdapt.ports.executor import Capabilities, Capacity, Executor, Scale, WorkerInfo
from flowdapt.runtime.verdicts import lost

if TYPE_CHECKING:
    from flowdapt.domain.finding import Finding
    from flowdapt.domain.task import Outcome, TaskCall, ValueRef, WorkerEnvironment
    from flowdapt.plugins.bridge.engine import State
    from flowdapt.ports.executor import Emit

__all__ = ["BridgedExecutor"]

log = structlog.get_logger(__name__)

_CHUNK = 256 * 1024
# The engine has ten seconds to close what it opened.
_END_S = 12.0
_STOP_S = 2.0
_LAST_ERRORS = 20


class BridgedExecutor(Executor):
    """An executor whose cluster's client lives in the bridge."""

    # What `runtime/hosted.py` gives to whoever's workers run bodies by it.
    capabilities: ClassVar[Capabilities] = Capabilities(
        kills_on_cancel=True,
        isolates_crashes=True,
        streams_logs=True,
        fresh_process=True,
        keeps_results=True,
    )
    engine: ClassVar[str]

    def __init__(self, options: Any, environment: WorkerEnvironment) -> None:
        self._options = options
        self._environment = environment
        self._mark = new_mark(environment)
        self._link: _Link | None = None
        self._state: State | None = None
        self._copies: dict[str, str] = {}

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        await trio.to_thread.run_sync(sweep_stale, self._environment)
        process = BridgeProcess(self._mark, self._environment)
        guard = Guard(self._mark)
        guard.watch(process.pid)
        link = _Link(process)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(link.write)
                nursery.start_soon(link.read_errors, self.kind)
                nursery.start_soon(self._listen, link)
                link.say(self._opening())
                await link.opened.wait()
                if not link.ended:
                    self._link = link
                    task_status.started()
                await link.gone.wait()
                nursery.cancel_scope.cancel()
            raise ExecutorUnavailable(link.words, fix=link.fix)
        finally:
            self._link = self._state = None
            self._copies.clear()
            link.lose("the executor is closing")
            with trio.CancelScope(shield=True):
                with suppress(OSError, trio.ClosedResourceError):
                    process.send_eof()
                await process.end(_END_S)
                await process.close()
                await guard.close()

    def _opening(self) -> wire.Open:
        kind = type(self._options)
        text = msgspec.json.encode(self._options.model_dump(), enc_hook=_reveal)
        return wire.Open(
            self.engine, f"{kind.__module__}:{kind.__qualname__}", text, self._environment
        )

    async def _listen(self, link: _Link) -> None:
        assembler = wire.Assembler()
        with suppress(trio.BrokenResourceError):
            while chunk := await link.process.stream.receive_some(_CHUNK):
                for body in assembler.feed(chunk):
                    self._hear(link, wire.read_from_bridge(body))
        link.lose(link.words or f"the bridge to {self.kind} ended{link.last_errors()}")

    def _hear(self, link: _Link, message: wire.FromBridge) -> None:
        match message:
            case wire.Said() | wire.Ended() | wire.Answer():
                link.answer(message)
            case wire.Told(state):
                self._state = state
            case wire.Lacking(handles):
                for handle in handles:
                    self._copies.pop(handle, None)
            case wire.Opened():
                link.opened.set()
            case wire.Gone(words, fix):
                link.words, link.fix = words, fix or None

    # -- what is known without asking ----------------------------------------------------------------

    def capacity(self) -> Capacity:
        return self._state.capacity if self._state else Capacity(slots=None, cpus=0.0)

    def workers(self) -> list[WorkerInfo]:
        return list(self._state.workers) if self._state else []

    def scale(self) -> Scale:
        return self._state.scale if self._state else Scale(0)

    def holds(self, handle: str) -> bool:
        return handle in self._copies

    # -- questions -----------------------------------------------------------------------------------

    async def execute(self, call: TaskCall, emit: Emit) -> Outcome:
        link = self._running()
        asked = link.ask(lambda number: wire.Execute(number, call))
        asked.emit = emit
        try:
            await asked.done.wait()
        except trio.Cancelled:
            link.say(wire.Cancel(asked.number))
            with trio.move_on_after(call.grace_s + _STOP_S, shield=True):
                await asked.done.wait()
            raise
        finally:
            link.forget(asked)
        if isinstance(asked.answer, wire.Ended):
            outcome = asked.answer.outcome
            if isinstance(outcome, Finished):
                self._copies.update((handle, call.run.uid) for handle in handles_of(outcome.value))
            return outcome
        if isinstance(asked.answer, wire.Answer):
            raise ExecutorUnavailable(asked.answer.words)
        if link.closing or not asked.sent:
            raise ExecutorUnavailable(link.words)
        return Lost("bridge", lost(call, link.words))

    async def store(self, ref: ValueRef, name: str) -> ValueRef:
        answer = await self._ask(lambda number: wire.Store(number, ref, name))
        assert answer.ref is not None
        return answer.ref

    async def check(self) -> list[Finding]:
        from flowdapt.domain.finding import Finding

        answer = await self._ask(wire.Check)
        return [Finding.model_validate(row) for row in answer.findings]

    async def forget(self, run: str) -> None:
        self._copies = {handle: owner for handle, owner in self._copies.items() if owner != run}
        if self._link is not None:
            self._link.say(wire.Forget(run))

    async def _ask(self, make: Any) -> wire.Answer:
        link = self._running()
        asked = link.ask(make)
        try:
            await asked.done.wait()
        finally:
            link.forget(asked)
        answer = asked.answer
        if not isinstance(answer, wire.Answer):
            raise ExecutorUnavailable(link.words)
        if answer.error == "missing":
            raise MissingObject(answer.words)
        if answer.error == "os":
            raise OSError(answer.words)
        if answer.error:
            raise ExecutorUnavailable(answer.words)
        return answer

    def _running(self) -> _Link:
        if self._link is None or self._link.ended:
            raise ExecutorUnavailable(f"the {self.kind} executor is not running")
        return self._link


def _reveal(secret: Any) -> Any:
    """Write a secret out: the bridge is the one that needs it."""
    return secret.get_secret_value()


class _Asked:
    """One message that waits for its answer."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.done = trio.Event()
        self.answer: wire.Ended | wire.Answer | None = None
        self.emit: Emit | None = None
        self.sent = False
        self.started = False


class _Link:
    """The connection: what waits to be sent, and who waits for what."""

    def __init__(self, process: BridgeProcess) -> None:
        self.process = process
        self.opened = trio.Event()
        self.gone = trio.Event()
        self.words = ""
        self.fix: str | None = None
        self.closing = False
        self._numbers = itertools.count(1)
        self._asked: dict[int, _Asked] = {}
        # Bounded by those who ask: each has one question here, and a cancel.
        self._outgoing: deque[tuple[wire.ToBridge, _Asked | None]] = deque()
        self._stirred = trio.Event()
        self._errors: deque[str] = deque(maxlen=_LAST_ERRORS)

    @property
    def ended(self) -> bool:
        return self.gone.is_set()

    def say(self, message: wire.ToBridge, asked: _Asked | None = None) -> None:
        self._outgoing.append((message, asked))
        self._stirred.set()

    def ask(self, make: Any) -> _Asked:
        asked = _Asked(next(self._numbers))
        self._asked[asked.number] = asked
        self.say(make(asked.number), asked)
        return asked

    def forget(self, asked: _Asked) -> None:
        self._asked.pop(asked.number, None)

    def answer(self, message: wire.Said | wire.Ended | wire.Answer) -> None:
        asked = self._asked.get(message.number)
        if asked is None:
            return
        if isinstance(message, wire.Said):
            for event in message.events:
                if isinstance(event, Started):
                    if asked.started:
                        continue
                    asked.started = True
                if asked.emit is not None:
                    asked.emit(event)
        else:
            asked.answer = message
            asked.done.set()

    def lose(self, words: str) -> None:
        """Wake up everybody: there will be no answer any more."""
        if not self.ended:
            self.closing = words == "the executor is closing"
            self.words = words
        self.gone.set()
        self.opened.set()
        for asked in self._asked.values():
            asked.done.set()

    async def write(self) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while True:
                while self._outgoing:
                    message, asked = self._outgoing.popleft()
                    if asked is not None:
                        asked.sent = True
                    await self.process.stream.send_all(wire.pack(message))
                self._stirred = trio.Event()
                await self._stirred.wait()

    async def read_errors(self, kind: str) -> None:
        """Pass what the process writes to stderr to the log, line by line."""
        rest = b""
        while chunk := await self.process.errors.receive_some(_CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                text = line.decode(errors="backslashreplace")
                self._errors.append(text)
                log.debug("the bridge said", executor=kind, line=text)

    def last_errors(self) -> str:
        return f": {self._errors[-1]}" if self._errors else ""
