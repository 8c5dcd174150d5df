"""Keep one executor open while somebody needs it: open it, watch it, open it again when it was lost.

Who needs it, and which executors there are, is `executors.py`; what may be given to it while it
stumbles is `circuit.py`.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import trio

from flowdapt.domain.errors import ExecutorUnavailable, FlowdaptError
from flowdapt.domain.executor_facts import (
    executor_scaled,
    executor_started,
    executor_stopped,
)
from flowdapt.domain.wording import amount
from flowdapt.logs import get_log
from flowdapt.ports.executor import Executor, Scale
from flowdapt.services.absent import CLOSED, Absent
from flowdapt.services.circuit import BACKOFF_MAX_S, backoff_s
from flowdapt.services.dispatch import Dispatcher
from flowdapt.services.lifecycle import the_one
from flowdapt.services.outage import Outage

if TYPE_CHECKING:
    from flowdapt.domain.events import EventDraft
    from flowdapt.ports.kinds import Prepared

__all__ = ["Seat", "Surroundings"]

log = get_log("flowdapt.executors")

State = Literal["closed", "opening", "ready", "unavailable"]

OPENING = "it is being opened"
# Bounds what is imported and filled in before an executor is made.
_PREPARE_S = 30.0
_LOOK_S = 1.0
_IDLE_LOOK_S = 5.0
# A cluster queues by itself and may have to grow first: its tasks begin later than those of a process here.
TASK_START_S = 180.0
# An executor that hangs may also hang while it is stopped: that is not waited for.
_LATE_S = 0.5
_REASON_MAX_CHARS = 1000


class Surroundings(msgspec.Struct, frozen=True):
    """What the seats of one daemon share. Both take what happens, and never block."""

    tell: Callable[[EventDraft], None]
    report: Callable[[str, str | None], None]
    idle_s: float = 60.0


class Seat:
    """The place of one executor in this daemon."""

    def __init__(
        self,
        name: str,
        kind: str,
        prepare: Callable[[], Awaitable[Prepared]],
        around: Surroundings,
        *,
        options: Mapping[str, Any] | None = None,
        watched: bool = True,
    ) -> None:
        self.name = name
        self.kind = kind
        self.options = options or {}
        self.dispatcher = Dispatcher(Absent())
        self.dispatcher.circuit.cut(CLOSED)
        self.dispatcher.on_outage = self._stumble
        self.dispatcher.start_timeout_s = TASK_START_S if watched else None
        self.serving = False
        self._outage = Outage(name, kind, around.tell, around.report)
        self._prepare = prepare
        self._around = around
        self._watched = watched
        self._users = 0
        self._trials = 0
        self._hurry = False
        self._ready = False
        self._failures = 0
        self._losses = 0
        self._next_at = 0.0
        self._opened_at = 0.0
        self._patience_s = _PREPARE_S
        self._late_at = 0.0
        self._prodded = False
        self._changed = trio.Event()

    # -- users -----------------------------------------------------------------------------------

    @property
    def wanted(self) -> bool:
        """Say whether anybody needs it."""
        return self._users > 0

    def hold(self, *, trial: bool = False) -> None:
        """Need it, until `release`. A trial's failure is its own affair, and no outage."""
        self._users += 1
        self._trials += trial
        self._hurry = False
        self._stir()

    def release(self, *, trial: bool = False, linger: bool = True) -> None:
        """Need it no more; without `linger` it is closed at once when nobody else does."""
        self._users -= 1
        self._trials -= trial
        self._hurry = not linger and self._users == 0
        self._stir()

    def close_soon(self) -> None:
        """Do not wait for a next user."""
        self._hurry = not self.wanted
        self._stir()

    def _stir(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    # -- looking ---------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        if self._ready:
            return "ready" if self.dispatcher.unavailable is None else "unavailable"
        if not self.serving:
            return "closed"
        return "unavailable" if self._failures else "opening"

    def words(self) -> str:
        """Say in one line how it is."""
        match self.state:
            case "ready":
                return _size_in_words(self.dispatcher.executor.scale())
            case "opening":
                return OPENING
            case "unavailable":
                return f"{self._outage.words}; {self._outage.age_s:.0f} s ago, {self._next_try()}"
        return ""

    def figures(self) -> dict[str, Any]:
        """Return what the executor has and how busy it is; what it has is not known while it is away."""
        found = self.dispatcher.figures()
        if isinstance(self.dispatcher.executor, Absent):
            found |= {"slots": None, "cpus": 0.0, "gpus": 0.0, "memory_bytes": 0, "resources": {}}
        return found

    def _next_try(self) -> str:
        in_s = self._next_at - trio.current_time()
        if self._ready:
            in_s = self.dispatcher.circuit.next_try_s or 0.0
        return f"next try in {math.ceil(in_s)} s" if in_s > 0 else "it is being tried"

    async def opened(self) -> str | None:
        """Return None once it is open, or in words why it is not: bounded, also when it hangs."""
        losses = self._losses
        self._late_at = max(self._late_at, trio.current_time() + self._patience_s)
        self._prodded = True
        self._stir()
        while not self._ready:
            if self._losses != losses:
                return self._outage.words or CLOSED
            with trio.move_on_at(self._late_at + _LATE_S):
                await self._changed.wait()
            if trio.current_time() >= self._late_at + _LATE_S:
                return self._too_late()
        return None

    def _too_late(self) -> str:
        return f"it could not be opened within {self._patience_s:g} s"

    # -- life ------------------------------------------------------------------------------------

    async def serve(self) -> None:
        """Have it open while it is wanted, and a while longer; return when it is closed."""
        self.serving = True
        try:
            while True:
                failure = await self._live()
                if failure is None:
                    self._close()
                else:
                    self._lose(failure)
                    await self._pause()
                if not self.wanted:
                    self._close()
                    return
        finally:
            self.serving = False

    async def _live(self) -> str | None:
        """Open it and serve. Return None when nobody needs it any more, or why it was lost."""
        if not self._failures:
            self.dispatcher.circuit.cut(OPENING)
        try:
            self._give_it(_PREPARE_S)
            with trio.fail_after(_PREPARE_S):
                prepared = await self._prepare()
            self._give_it(prepared.patience_s)
            await self._be_open(prepared.make())
        except Exception as caught:
            return self._why(the_one(caught))
        return None

    def _give_it(self, seconds: float) -> None:
        self._patience_s = seconds
        self._late_at = trio.current_time() + seconds
        self._stir()

    async def _be_open(self, executor: Executor) -> None:
        async with trio.open_nursery() as nursery:
            with trio.fail_after(self._patience_s):
                await nursery.start(_run, executor)
            self._open(executor)
            if self._watched:
                nursery.start_soon(self._watch, executor)
                nursery.start_soon(self._look_over, executor)
            await self._until_unneeded()
            # What comes now waits for the next opening.
            self._ready = False
            self.dispatcher.circuit.cut(CLOSED)
            nursery.cancel_scope.cancel()

    async def _look_over(self, executor: Executor) -> None:
        """Warn of what its own checks find: a run that names an executor has no switch before it."""
        from flowdapt.services.preflight import own_rows

        failed = [row.words for row in await own_rows(executor) if row.level == "failed"]
        words = f"executor {self.name}: {'; '.join(failed)}" if failed else None
        self._around.report(f"checks of {self.name}", words)

    async def _until_unneeded(self) -> None:
        while True:
            idle_s = 0.0 if self._hurry else self._around.idle_s
            if self.wanted:
                await self._changed.wait()
                continue
            with trio.move_on_after(idle_s) as scope:
                await self._changed.wait()
            if scope.cancelled_caught and not self.wanted:
                return

    async def _pause(self) -> None:
        """Wait before the next try; a check does not wait, and nobody waits for nothing."""
        self._prodded = False
        with trio.move_on_at(self._next_at):
            while self.wanted and not self._prodded:
                await self._changed.wait()

    async def _watch(self, executor: Executor) -> None:
        """Follow how it grows and shrinks."""
        before = executor.scale()
        while True:
            at_work = self.dispatcher.busy or self.dispatcher.waiting
            await trio.sleep(_LOOK_S if at_work else _IDLE_LOOK_S)
            self.dispatcher.refresh()
            now = executor.scale()
            if now.maximum is not None and now.workers != before.workers:
                workers, bounds = (before.workers, now.workers), (now.minimum, now.maximum)
                self._around.tell(executor_scaled(self.name, self.kind, workers, bounds))
            before = now

    # -- changes ---------------------------------------------------------------------------------

    def _open(self, executor: Executor) -> None:
        slots = executor.capacity().slots
        if not self._outage.end():
            self._around.tell(executor_started(self.name, self.kind, slots))
        log.info("executor is open", executor=self.name, kind=self.kind, slots=slots)
        self._ready = True
        self._opened_at = trio.current_time()
        self.dispatcher.attach(executor)
        self._stir()

    def _stumble(self, words: str | None) -> None:
        """Take what the circuit of a running executor says: it refuses tasks, or takes them again."""
        if words is None:
            self._outage.end()
        else:
            self._outage.note(words)

    def _lose(self, words: str) -> None:
        now = trio.current_time()
        if self._ready and now - self._opened_at > BACKOFF_MAX_S:
            self._failures = 0
        self._ready = False
        self._failures += 1
        self._losses += 1
        self._next_at = now + backoff_s(self._failures)
        self._outage.note(words, tell=self._users > self._trials)
        self.dispatcher.detach(Absent(), words)
        log.warning("executor is unavailable", executor=self.name, reason=words)
        self._stir()

    def _close(self) -> None:
        executor = self.dispatcher.executor
        if not isinstance(executor, Absent):
            slots = executor.capacity().slots
            self._around.tell(executor_stopped(self.name, self.kind, slots))
            log.info("executor is closed", executor=self.name)
        self._ready, self._failures = False, 0
        self._around.report(f"checks of {self.name}", None)
        self._outage.forget()
        self.dispatcher.detach(Absent(), CLOSED)
        self._stir()

    def _why(self, error: BaseException) -> str:
        if isinstance(error, trio.TooSlowError):
            return self._too_late()
        if isinstance(error, FlowdaptError):
            words = f"{error.message}; {error.fix}" if error.fix else error.message
        else:
            log.error("an executor failed", executor=self.name, exc_info=error)
            words = f"{type(error).__name__}: {error}"
        return words[:_REASON_MAX_CHARS]


async def _run(
    executor: Executor, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve the executor; its end is a loss, whatever it was."""
    await executor.run(task_status=task_status)
    raise ExecutorUnavailable("it has ended")


def _size_in_words(scale: Scale) -> str:
    if scale.maximum is None:
        return amount(scale.workers, "worker")
    return f"{scale.workers} of {scale.minimum}-{scale.maximum} workers"
