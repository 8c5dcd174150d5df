"""Drive one run: feed the machine what happens, perform its steps, keep the order write -> start.

Decides nothing about the run; that is `domain/machine.py`. A run has one nursery, and whichever of its
tasks has news performs the next steps, one turn at a time.
"""

from __future__ import annotations

import math
import random
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import structlog
import trio

from flowdapt.domain.errors import StaleEpoch, Unavailable
from flowdapt.domain.ledger import Step, Task
from flowdapt.domain.machine import RunMachine
from flowdapt.domain.records import StageRecord
from flowdapt.domain.run import RunState
from flowdapt.domain.task import (
    INLINE_MAX_BYTES,
    Cancelled,
    LogLine,
    MetricPoint,
    Outcome,
    Progress,
    Started,
    TaskEvent,
    ValueRef,
)
from flowdapt.domain.workflow import WorkflowSpec
from flowdapt.failpoints import failpoint
from flowdapt.ports.broker import LOG_LINES, RUN_ENDED, RUN_PROGRESS, Broker, Message
from flowdapt.ports.clock import Clock
from flowdapt.ports.engine import LiveStage
from flowdapt.ports.logs import LogStore
from flowdapt.ports.store import LoadedRun, Store
from flowdapt.ports.values import ValueStore
from flowdapt.services.attempts import Attempts, SecretSource
from flowdapt.services.calls import Calls, input_lengths
from flowdapt.services.checkpoints import Checkpoints
from flowdapt.services.dispatch import Dispatcher, Ticket

__all__ = ["DriverTools", "RunDriver", "SecretSource", "parse_definition"]

log = structlog.get_logger(__name__)

# A start that is followed by the end this soon is written with it, in one row change.
_FOLD_S = 0.05
_POLL_S = 5.0


@dataclass(frozen=True, slots=True)
class DriverTools:
    """What every driver of one compute service shares."""

    store: Store
    broker: Broker
    logs: LogStore
    values: ValueStore
    clock: Clock
    secrets: SecretSource | None = None
    start_timeout_s: float = 60.0


@lru_cache(maxsize=256)
def parse_definition(text: str) -> WorkflowSpec:
    """Return the spec of a frozen definition; the same text is parsed once."""
    return WorkflowSpec.model_validate_json(text)


class RunDriver:
    """One open run in the hands of this compute service."""

    def __init__(self, loaded: LoadedRun, dispatcher: Dispatcher, tools: DriverTools) -> None:
        self.uid = loaded.run.uid
        self.failure: BaseException | None = None
        self._loaded = loaded
        self._dispatcher = dispatcher
        self._tools = tools
        self._spec = parse_definition(loaded.run.definition)
        self._specs = {stage.name: stage for stage in self._spec.stages}
        self._inbox: deque[tuple[Task, Outcome, datetime, datetime]] = deque()
        self._lot = trio.lowlevel.ParkingLot()
        self._scopes: dict[Task, trio.CancelScope] = {}
        self._active: set[Task] = set()
        # Those of them that have a slot and wait for an executor that takes no tasks now.
        self._stalled: set[Task] = set()
        self._progress: dict[str, tuple[float, float | None]] = {}
        self._metrics: list[tuple[str, MetricPoint]] = []
        self._waiting = trio.CancelScope()
        self._queued: set[Task] = set()
        self._cancel_reason: str | None = None
        self._draining = False
        self._turning = False
        self._stale = False
        self._fold_at: float | None = None
        self._checkpoints = Checkpoints(
            self.uid, loaded.run.epoch, self._specs, dispatcher, self._wake
        )

    # -- asked from outside ----------------------------------------------------------------------

    def request_cancel(self, reason: str) -> None:
        """Pass the wish on to the machine at the next turn."""
        self._cancel_reason = reason
        self._wake()

    def _wake(self) -> None:
        self._lot.unpark_all()

    def drain(self) -> None:
        """Start nothing more and return when what runs has ended."""
        self._draining = True
        for task in self._queued | self._stalled:
            self._scopes[task].cancel()
        self._lot.unpark_all()

    def live(self) -> dict[str, LiveStage]:
        """Return what runs now."""
        stages = {*self._progress, *(task.stage for task in self._scopes)}
        return {name: self._live_stage(name) for name in stages}

    def _live_stage(self, name: str) -> LiveStage:
        at_work = self._active - self._stalled
        running = sum(task.stop - task.start for task in at_work if task.stage == name)
        waits = running == 0 and any(task.stage == name for task in self._scopes)
        why = self._dispatcher.why_waiting(self._specs[name].resources) if waits else None
        if running:
            why = self._dispatcher.why_stuck()
        return LiveStage(running, self._progress.get(name), why)

    # -- the loop --------------------------------------------------------------------------------

    async def drive(self) -> None:
        """Return when the run is terminal, was drained, or belongs to somebody else."""
        self._machine = await self._make_machine()
        calls = Calls(
            self._loaded.run,
            self._spec,
            self._machine.stages,
            start_timeout_s=self._dispatcher.start_timeout_s or self._tools.start_timeout_s,
        )
        self._attempts = Attempts(
            self._dispatcher, calls, self._tools.secrets, self._hear, self._stalled
        )
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._machine.begin(self._tools.clock.now())
            await self._turn()
            while not self._over():
                await self._wait()
                await self._turn()
            nursery.cancel_scope.cancel()

    def _over(self) -> bool:
        drained = self._draining and not (self._scopes or self._checkpoints.busy)
        return self._stale or drained or (self._machine.run.state.terminal and not self._turning)

    async def _turn(self, *, go_on: bool = False) -> tuple[Task, Ticket] | None:
        """Feed the machine what happened and perform its steps, until nothing more has happened.

        One turn at a time: who finds another under way leaves its news in the inbox for it. With
        `go_on` the caller offers to run one of the new tasks itself, which saves a task of trio's.
        """
        if self._turning or self._stale:
            return None
        self._turning = True
        mine: tuple[Task, Ticket] | None = None
        try:
            while True:
                self._machine.parallelism = self._dispatcher.parallelism
                self._take_news(self._tools.clock.now())
                step, self._fold_at = self._machine.step(), None
                own = await self._perform(step, go_on=go_on and mine is None)
                mine = mine or own
                if not self._has_news():
                    return mine
        except StaleEpoch:
            log.warning("run belongs to another owner now", run=self.uid)
            self._stale = True
            return None
        finally:
            self._turning = False
            if self._over():
                self._lot.unpark_all()
            else:
                self._set_alarm()

    def _has_news(self) -> bool:
        return bool(self._inbox or self._checkpoints.stored) or self._cancel_reason is not None

    def _take_news(self, now: datetime) -> None:
        while self._inbox:
            task, outcome, began, ended = self._inbox.popleft()
            # What a drain stops goes back to pending: the machine is not to count it.
            if not (self._draining and isinstance(outcome, Cancelled)):
                self._machine.ended(task, outcome, began, ended)
        while self._checkpoints.stored:
            self._machine.stored(*self._checkpoints.stored.popleft())
        if self._cancel_reason is not None:
            self._machine.cancel(self._cancel_reason, now)
            self._cancel_reason = None
        self._check_times(now)

    def _check_times(self, now: datetime) -> None:
        due = self._machine.next_due()
        if due is not None and due <= now:
            self._machine.due(now)
        left = self._run_time_left_s(now)
        if left is not None and left <= 0 and self._machine.run.state is RunState.RUNNING:
            self._machine.cancel("timeout", now)

    def _run_time_left_s(self, now: datetime) -> float | None:
        run = self._machine.run
        if run.timeout_s is None or run.started_at is None:
            return None
        return run.timeout_s - (now - run.started_at).total_seconds()

    async def _wait(self) -> None:
        """Return when somebody asked for a turn, or an instant has come."""
        # While a task's turn is under way it takes all news along, and sets the alarm at its end.
        wait_s = math.inf
        if not self._turning:
            if self._has_news():
                return
            wait_s = self._wait_s()
        with trio.CancelScope(deadline=trio.current_time() + wait_s) as self._waiting:
            await self._lot.park()

    def _set_alarm(self) -> None:
        """Let the waiting loop look again in time: a turn of a task may have set a new instant."""
        wait_s = self._wait_s()
        if wait_s != math.inf or self._waiting.deadline != math.inf:
            self._waiting.deadline = trio.current_time() + wait_s

    def _wait_s(self) -> float:
        now = self._tools.clock.now()
        waits: list[float] = []
        due = self._machine.next_due()
        if due is not None:
            waits.append((due - now).total_seconds())
        left = self._run_time_left_s(now)
        if left is not None and self._machine.run.state is RunState.RUNNING:
            waits.append(left)
        # The wall clock may jump: look again at least that often.
        waits = [min(_POLL_S, wait) for wait in waits]
        if self._fold_at is not None:
            waits.append(self._fold_at - trio.current_time())
        return max(0.0, min(waits)) if waits else math.inf

    async def _perform(self, step: Step, *, go_on: bool) -> tuple[Task, Ticket] | None:
        for task in step.stop:
            if task in self._scopes:
                self._scopes[task].cancel()
        self._start_all(step.at_once)
        change = step.change
        if self._metrics:
            change.metrics, self._metrics = self._metrics, []
        if not change.empty:
            await self._commit(step)
            self._announce()
            self._checkpoints.look(change.stages, self._nursery)
        failpoint("drive.before_start")
        return self._start_all(step.start, go_on=go_on)

    async def _commit(self, step: Step) -> None:
        """Write the step; a store that refuses is waited for, since nothing else can go on anyway."""
        while True:
            try:
                await self._spill_large(step.change.stages)
                failpoint("drive.before_commit")
                await self._tools.store.commit(step.change)
                failpoint("drive.after_commit")
                return
            except Unavailable as error:
                log.warning("run state cannot be written", run=self.uid, error=error.message)
                await self._tools.clock.sleep(_POLL_S)

    def _announce(self) -> None:
        run = self._machine.run
        if run.state.terminal:
            value = (run, list(self._machine.stages.values()))
            failpoint("drive.before_announce")
            self._tools.broker.publish(Message(RUN_ENDED, self.uid, value))
        else:
            self._tools.broker.publish(Message(RUN_PROGRESS, self.uid))

    async def _spill_large(self, stages: list[StageRecord]) -> None:
        for record in stages:
            value = record.result
            if (
                value is not None
                and value.kind == "parts"
                and _inline_bytes(value) > INLINE_MAX_BYTES
            ):
                failpoint("drive.before_spill")
                spilled = await self._tools.values.spill(self.uid, f"{record.name}.parts", value)
                if self._machine.run.result is value:
                    self._machine.run.result = spilled
                record.result = self._machine.stages[record.name].result = spilled

    # -- tasks -----------------------------------------------------------------------------------

    def _start_all(self, tasks: list[Task], *, go_on: bool = False) -> tuple[Task, Ticket] | None:
        """Start the tasks, the urgent ones first; return one for the caller when it goes on."""
        if self._draining:
            return None
        mine = None
        for task in sorted(tasks, key=self._urgency) if len(tasks) > 1 else tasks:
            self._scopes[task] = trio.CancelScope()
            needs = self._specs[task.stage].resources
            ticket = self._dispatcher.ask(-self._urgency(task), needs)
            if go_on and mine is None:
                mine = (task, ticket)
            else:
                self._nursery.start_soon(self._run_tasks, task, ticket)
        return mine

    def _urgency(self, task: Task) -> int:
        return -(self._specs[task.stage].priority + self._loaded.run.priority)

    async def _run_tasks(self, task: Task, ticket: Ticket) -> None:
        """Run a task, and then one of those that its end makes ready, and so on."""
        mine: tuple[Task, Ticket] | None = (task, ticket)
        while mine is not None:
            await self._run_task(*mine)
            mine = await self._turn(go_on=True)

    async def _run_task(self, task: Task, ticket: Ticket) -> None:
        clock = self._tools.clock
        outcome: Outcome = Cancelled()
        began = clock.now()
        with self._scopes[task]:
            self._queued.add(task)
            try:
                lease = await self._dispatcher.wait(ticket)
            finally:
                self._queued.discard(task)
            began = clock.now()
            self._active.add(task)
            try:
                outcome = await self._attempts.make(
                    task, self._specs[task.stage], lease.gpu_devices
                )
            finally:
                self._active.discard(task)
                self._dispatcher.release(lease)
        del self._scopes[task]
        failpoint("drive.after_task")
        self._inbox.append((task, outcome, began, clock.now()))

    def _hear(self, task: Task, event: TaskEvent) -> None:
        if isinstance(event, LogLine):
            self._tools.logs.append(self.uid, task.stage, task.attempt, [event])
            self._tools.broker.publish(Message(LOG_LINES, self.uid))
        elif isinstance(event, Started):
            if self._machine.started(task, self._tools.clock.now()):
                self._fold()
        elif isinstance(event, MetricPoint):
            self._metrics.append((task.stage, event))
            self._fold()
        elif isinstance(event, Progress):
            self._progress[task.stage] = (event.done, event.total)
            self._tools.broker.publish(Message(RUN_PROGRESS, self.uid))

    def _fold(self) -> None:
        """Have what is not worth a write of its own written soon, if nothing else writes before."""
        if self._fold_at is None:
            self._fold_at = trio.current_time() + _FOLD_S
            self._set_alarm()

    async def _make_machine(self) -> RunMachine:
        loaded = self._loaded
        lengths = await input_lengths(loaded.run, self._spec, self._tools.values)
        return RunMachine(
            loaded.run,
            loaded.stages,
            self._spec,
            parallelism=self._dispatcher.parallelism,
            lengths=lengths.get,
            chance=random.random,
            tasks=loaded.tasks,
            items=loaded.items,
        )


def _inline_bytes(value: ValueRef) -> int:
    return sum(len(part.value.data) for part in value.parts) + 64 * len(value.parts)
