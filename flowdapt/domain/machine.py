"""Decide what a run does next: what happened goes in, what to write, start and stop comes out.

Pure: no clock, no store, no loop. `services/compute.py` performs the steps. Everything in memory here
can be made again from the rows (`LoadedRun`), which is what a restart does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from flowdapt.domain import facts
from flowdapt.domain.mapping import MapProgress
from flowdapt.domain.retry import MAX_LOSSES, MAX_RECOVERIES, delay_s, may_retry
from flowdapt.domain.run import (
    ItemRecord,
    RunChange,
    RunPatch,
    RunRecord,
    RunState,
    StageRecord,
    StageState,
    StageType,
    TaskRecord,
    may_become,
)
from flowdapt.domain.task import Cancelled, ErrorInfo, Failed, Finished, Lost, Outcome, ValueRef
from flowdapt.domain.workflow import StageSpec, WorkflowSpec

__all__ = ["TIMEOUT", "RunMachine", "Step", "Task"]

# The error type by which the driver tells that a task was stopped at its time limit.
TIMEOUT = "flowdapt.StageTimeout"


@dataclass(frozen=True, slots=True)
class Task:
    """One call to make: a simple stage (0, 1), or the items [start, stop) of a mapped one."""

    stage: str
    start: int
    stop: int
    attempt: int


@dataclass(slots=True)
class Step:
    """What to do now: commit `change`, then start `start`. `at_once` need not wait for the commit."""

    change: RunChange
    start: list[Task] = field(default_factory=list)
    at_once: list[Task] = field(default_factory=list)
    stop: list[Task] = field(default_factory=list)


class RunMachine:
    """The state of one open run."""

    def __init__(
        self,
        run: RunRecord,
        stages: Iterable[StageRecord],
        spec: WorkflowSpec,
        *,
        parallelism: int,
        lengths: Callable[[str], int | None],
        chance: Callable[[], float],
        tasks: Iterable[TaskRecord] = (),
        items: Iterable[ItemRecord] = (),
    ) -> None:
        """`lengths` gives the number of items under a key of the run's input (None: not a list)."""
        self.run = run
        self.spec = spec
        self.stages = {stage.name: stage for stage in stages}
        self.open: set[Task] = set()
        self.maps: dict[str, MapProgress] = {}
        self._specs = {stage.name: stage for stage in spec.stages}
        self._parallelism = parallelism
        self._lengths = lengths
        self._chance = chance
        self._dirty: dict[str, StageRecord] = {}
        self._step = Step(RunChange(run.uid, run.epoch))
        self._dependants: dict[str, list[str]] = {name: [] for name in self._specs}
        self._missing: dict[str, int] = {}
        self._count_dependencies()
        self._restored = (list(tasks), list(items))
        self._unended = sum(not record.state.terminal for record in self.stages.values())
        self._retrying: set[str] = set()

    def _count_dependencies(self) -> None:
        for stage in self.spec.stages:
            unmet = 0
            for dependency in stage.depends_on:
                self._dependants[dependency].append(stage.name)
                unmet += self.stages[dependency].state is not StageState.FINISHED
            self._missing[stage.name] = unmet

    # -- what happens ------------------------------------------------------------------------------

    def begin(self, now: datetime) -> None:
        """Start, or go on after a change of owner: whatever was running runs again."""
        if self.run.cancel_requested_at is not None or self.run.state is RunState.CANCELLING:
            self.cancel(self.run.cancel_reason or "user", now)
            return
        for record in list(self.stages.values()):
            if record.state in (StageState.RUNNING, StageState.RETRYING):
                self._recover(record, now)
            elif record.state in (StageState.FAILED, StageState.SKIPPED, StageState.CANCELLED):
                self._skip_dependants(record.name, now)
        for name, unmet in self._missing.items():
            if unmet == 0 and self.stages[name].state is StageState.PENDING:
                self._make_ready(name, now)
        self._settle(now)

    def started(self, task: Task, now: datetime) -> bool:
        """Note that a task's body runs; return whether that changed the stage (write it soon)."""
        record = self.stages[task.stage]
        if record.state.terminal or record.state is StageState.RUNNING:
            return False
        self._set(record, StageState.RUNNING)
        record.next_at = None
        record.started_at = record.started_at or now
        if record.type is StageType.SIMPLE:
            record.attempt = task.attempt
        return True

    def ended(self, task: Task, outcome: Outcome, began: datetime, now: datetime) -> None:
        """Take in what became of a task."""
        self.open.discard(task)
        record = self.stages[task.stage]
        if record.state.terminal:
            self._settle(now)
            return
        self.started(task, began)
        self._record_attempt(task, outcome, began, now)
        if record.type is StageType.PARAMETERIZED:
            self._slice_ended(record, task, outcome, now)
        else:
            self._simple_ended(record, task, outcome, now)
        self._settle(now)

    def due(self, now: datetime) -> None:
        """Start what waited for this instant."""
        for name, progress in self.maps.items():
            if not self.stages[name].state.terminal:
                progress.release_due(now)
                self._take_slices(self.stages[name], now, self._step.at_once)
        for name in list(self._retrying):
            record = self.stages[name]
            if record.state is StageState.RETRYING and record.next_at and record.next_at <= now:
                self._retrying.discard(name)
                record.next_at = None
                self._start(Task(name, 0, 1, record.attempt + 1), self._step.start)

    def next_due(self) -> datetime | None:
        """Return the earliest instant for which `due` must be called."""
        waits = [due for name in self._retrying if (due := self.stages[name].next_at) is not None]
        waits += [due for m in self.maps.values() if (due := m.next_due()) is not None]
        return min(waits, default=None)

    def cancel(self, reason: str, now: datetime) -> None:
        """Stop everything; the run ends when the last task has."""
        if self.run.state.terminal:
            return
        if self.run.state is not RunState.CANCELLING:
            self._set_run(RunState.CANCELLING, reason)
        for record in self.stages.values():
            if not record.state.terminal:
                self._close(record, StageState.CANCELLED, now, reason=reason)
        self._step.stop.extend(self.open)
        self._settle(now)

    def step(self) -> Step:
        """Return everything to be done since the last call."""
        step, self._step = self._step, Step(RunChange(self.run.uid, self.run.epoch))
        change = step.change
        # Copies: the records go on changing while the store's thread still writes.
        change.stages = [copy(record) for record in self._dirty.values()]
        self._dirty = {}
        for progress in self.maps.values():
            if progress.changed:
                change.items.extend(progress.changed.values())
                progress.changed = {}
        change.first_seq = self.run.next_seq
        self.run.next_seq += len(change.events)
        if change.run is not None:
            change.run = self._run_patch()
        return step

    # -- simple stages -------------------------------------------------------------------------------

    def _simple_ended(
        self, record: StageRecord, task: Task, outcome: Outcome, now: datetime
    ) -> None:
        if isinstance(outcome, Finished):
            self._finish(record, outcome.value, now)
        elif isinstance(outcome, Lost):
            self._lost(record, task, outcome, now)
        elif isinstance(outcome, Failed):
            self._failed(record, task, outcome.error, now)
        else:
            self._close(record, StageState.CANCELLED, now, reason=outcome.reason or None)
            self._skip_dependants(record.name, now)

    def _failed(self, record: StageRecord, task: Task, error: ErrorInfo, now: datetime) -> None:
        policy = self._specs[record.name].retry
        record.attempt = task.attempt
        if not may_retry(policy, error, task.attempt):
            self._fail(record, error, _failure_reason(error), now)
            return
        self._set(record, StageState.RETRYING)
        record.error = error
        record.next_at = now + timedelta(seconds=delay_s(policy, task.attempt, self._chance()))
        self._retrying.add(record.name)
        self._step.change.events.append(facts.stage_event(facts.STAGE_RETRYING, self.run, record))

    def _lost(self, record: StageRecord, task: Task, outcome: Lost, now: datetime) -> None:
        record.losses += 1
        # A lost attempt is not the code's: the same number is tried again.
        record.attempt = task.attempt - 1
        record.error = outcome.error
        if self._specs[record.name].on_lost == "fail" or record.losses >= MAX_LOSSES:
            record.attempt = task.attempt
            self._fail(record, outcome.error, "stage_crashed", now)
            return
        self._dirty[record.name] = record
        self._start(task, self._step.start)

    # -- mapped stages ---------------------------------------------------------------------------------

    def _slice_ended(
        self, record: StageRecord, task: Task, outcome: Outcome, now: datetime
    ) -> None:
        progress = self.maps[record.name]
        alone = task.stop - task.start == 1
        if isinstance(outcome, Finished):
            for failure in progress.close(task.start, task.stop, outcome):
                attempt = task.attempt if alone else 1
                self._item_failed(record, failure.index, attempt, failure.error, now)
        elif isinstance(outcome, Cancelled):
            progress.give_back(task.start, task.stop)
        elif not alone and (isinstance(outcome, Lost) or outcome.error.type == TIMEOUT):
            progress.halve(task.start, task.stop)
        elif isinstance(outcome, Lost):
            self._item_lost(record, task, outcome, now)
        elif alone:
            self._item_failed(record, task.start, task.attempt, outcome.error, now)
        else:
            self._fail(record, outcome.error, _failure_reason(outcome.error), now)
        if not record.state.terminal:
            self._go_on(record, progress, now)

    def _item_failed(
        self, record: StageRecord, index: int, attempt: int, error: ErrorInfo, now: datetime
    ) -> None:
        spec = self._specs[record.name]
        progress = self.maps[record.name]
        if may_retry(spec.retry, error, attempt):
            when = now + timedelta(seconds=delay_s(spec.retry, attempt, self._chance()))
            progress.retry_at(index, attempt, when, error)
            return
        progress.fail(index, attempt, error)
        if not spec.allow_partial_failure and not record.state.terminal:
            self._fail(record, facts.at_item(error, index), _failure_reason(error), now)

    def _item_lost(self, record: StageRecord, task: Task, outcome: Lost, now: datetime) -> None:
        spec = self._specs[record.name]
        progress = self.maps[record.name]
        record.losses += 1
        if spec.on_lost == "retry" and progress.losses(task.start) + 1 < MAX_LOSSES:
            progress.retry_at(task.start, task.attempt, None, outcome.error, lost=True)
            return
        progress.fail(task.start, task.attempt, outcome.error)
        if not spec.allow_partial_failure:
            self._fail(record, facts.at_item(outcome.error, task.start), "stage_crashed", now)

    def _go_on(self, record: StageRecord, progress: MapProgress, now: datetime) -> None:
        self._count_items(record, progress)
        if progress.done:
            self._finish(record, progress.result(), now)
        else:
            self._take_slices(record, now, self._step.at_once)

    def _take_slices(self, record: StageRecord, now: datetime, into: list[Task]) -> None:
        progress = self.maps[record.name]
        running = sum(task.stage == record.name for task in self.open)
        while running < self._parallelism and (cut := progress.take(now)) is not None:
            start, stop, attempt = cut
            self._start(Task(record.name, start, stop, attempt), into)
            running += 1

    def _count_items(self, record: StageRecord, progress: MapProgress) -> None:
        record.items_total = progress.total
        record.items_finished = progress.finished
        record.items_failed = len(progress.failed)
        self._dirty[record.name] = record

    # -- readiness -------------------------------------------------------------------------------------

    def _make_ready(self, name: str, now: datetime) -> None:
        record = self.stages[name]
        if record.type is StageType.SIMPLE:
            self._start(Task(name, 0, 1, record.attempt + 1), self._step.start)
            return
        spec = self._specs[name]
        total = self._items_of(spec)
        if total is None:
            source = spec.map_on or (spec.depends_on[0] if spec.depends_on else "the input")
            message = f"cannot map over {source!r}: it is not a list"
            self._fail(
                record,
                ErrorInfo("flowdapt.NotMappable", message, stage=name, retryable=False),
                "stage_failed",
                now,
            )
            return
        tasks, items = self._restored
        progress = MapProgress.restore(
            name,
            total,
            self._parallelism,
            (task for task in tasks if task.stage == name),
            (item for item in items if item.stage == name),
        )
        self.maps[name] = progress
        self._count_items(record, progress)
        if progress.done:
            self._finish(record, progress.result(), now)
        else:
            self._take_slices(record, now, self._step.start)

    def _items_of(self, spec: StageSpec) -> int | None:
        source = spec.map_on or (spec.depends_on[0] if spec.depends_on else None)
        if source is None:
            return None
        if source in spec.depends_on:
            value = self.stages[source].result
            return value.length if value is not None else None
        return self._lengths(source)

    def _recover(self, record: StageRecord, now: datetime) -> None:
        """Give a stage that ran under a dead owner its next chance; the daemon's death is not its loss."""
        was_running = record.state is StageState.RUNNING
        if record.type is StageType.SIMPLE and not was_running and record.next_at is not None:
            self._retrying.add(record.name)
            return
        if was_running:
            record.recoveries += 1
            self._record_death(record, now)
        if record.recoveries >= MAX_RECOVERIES:
            error = ErrorInfo(
                "flowdapt.StageCrashed", "the daemon died again and again while this stage ran"
            )
            self._fail(record, error, "stage_crashed", now)
            return
        if record.type is StageType.SIMPLE and was_running:
            record.attempt = max(0, record.attempt - 1)
        self._set(record, StageState.PENDING)

    def _record_death(self, record: StageRecord, now: datetime) -> None:
        if record.type is StageType.SIMPLE:
            began = record.started_at or now
            self._step.change.tasks.append(
                TaskRecord(
                    record.name,
                    0,
                    1,
                    record.attempt,
                    "lost",
                    began,
                    max(began, now),
                    reason="daemon_died",
                )
            )

    def _start(self, task: Task, into: list[Task]) -> None:
        self.open.add(task)
        into.append(task)

    # -- ends ------------------------------------------------------------------------------------------

    def _finish(self, record: StageRecord, value: ValueRef, now: datetime) -> None:
        record.result = value
        record.error = None
        self._close(record, StageState.FINISHED, now)
        for name in self._dependants[record.name]:
            self._missing[name] -= 1
            if self._missing[name] == 0 and self.stages[name].state is StageState.PENDING:
                self._make_ready(name, now)

    def _fail(self, record: StageRecord, error: ErrorInfo, reason: str, now: datetime) -> None:
        record.error = facts.at_stage(error, record.name)
        if record.name in self.maps:
            self._count_items(record, self.maps[record.name])
        self._close(record, StageState.FAILED, now, reason=reason)
        self._step.stop.extend(task for task in self.open if task.stage == record.name)
        self._skip_dependants(record.name, now)

    def _skip_dependants(self, name: str, now: datetime) -> None:
        below = list(self._dependants[name])
        while below:
            record = self.stages[below.pop()]
            if record.state is StageState.PENDING:
                self._close(record, StageState.SKIPPED, now, reason="dependency_failed")
                below.extend(self._dependants[record.name])

    def _close(
        self, record: StageRecord, state: StageState, now: datetime, *, reason: str | None = None
    ) -> None:
        self._set(record, state)
        self._unended -= 1
        record.reason = reason
        record.next_at = None
        record.finished_at = max(record.started_at or now, now)
        self._step.change.events.append(facts.stage_event(facts.STAGE_FINISHED, self.run, record))

    def _settle(self, now: datetime) -> None:
        """End the run when nothing of it is open."""
        if self.run.state.terminal or self.open or self._unended:
            return
        states = {record.state for record in self.stages.values()}
        if self.run.state is RunState.CANCELLING:
            timed_out = self.run.reason == "timeout"
            self._end(RunState.FAILED if timed_out else RunState.CANCELLED, self.run.reason, now)
        elif states == {StageState.FINISHED}:
            self.run.partial = any(record.items_failed for record in self.stages.values())
            self.run.result = facts.run_result(self.spec, self.stages)
            self._end(RunState.FINISHED, None, now)
        else:
            first = min(
                (
                    r
                    for r in self.stages.values()
                    if r.state in (StageState.FAILED, StageState.CANCELLED)
                ),
                key=lambda r: (r.finished_at or now, r.position),
            )
            self.run.error = first.error
            self._end(RunState.FAILED, first.reason or "stage_failed", now)

    def _end(self, state: RunState, reason: str | None, now: datetime) -> None:
        self._set_run(state, reason)
        if state is RunState.FAILED and self.run.error is None and reason == "timeout":
            self.run.error = ErrorInfo(
                "flowdapt.RunTimeout", "the run took longer than its timeout"
            )
        self.run.finished_at = max(self.run.started_at or now, now)
        self._step.change.events.append(facts.run_finished(self.run))

    # -- bookkeeping -----------------------------------------------------------------------------------

    def _record_attempt(self, task: Task, outcome: Outcome, began: datetime, now: datetime) -> None:
        stop = task.stop
        value = None
        if isinstance(outcome, Finished):
            value = (
                outcome.value if self.stages[task.stage].type is StageType.PARAMETERIZED else None
            )
            stop = (
                max(task.start, min(outcome.reached or stop, stop)) if value is not None else stop
            )
        self._step.change.tasks.append(
            TaskRecord(
                task.stage,
                task.start,
                stop,
                task.attempt,
                facts.TASK_STATES[type(outcome)],
                began,
                max(began, now),
                reason=outcome.reason if isinstance(outcome, Lost | Cancelled) else None,
                worker_pid=0 if isinstance(outcome, Cancelled) else outcome.worker_pid,
                value=value,
                error=outcome.error if isinstance(outcome, Failed | Lost) else None,
            )
        )

    def _set(self, record: StageRecord, state: StageState) -> None:
        assert may_become(record.state, state), f"{record.name}: {record.state} -> {state}"
        record.state = state
        self._dirty[record.name] = record

    def _set_run(self, state: RunState, reason: str | None) -> None:
        assert may_become(self.run.state, state), f"{self.run.state} -> {state}"
        self.run.state = state
        self.run.reason = reason
        self._step.change.run = self._run_patch()

    def _run_patch(self) -> RunPatch:
        run = self.run
        return RunPatch(
            run.state,
            run.reason,
            run.partial,
            run.started_at,
            run.finished_at,
            run.result,
            run.error,
            release_owner=run.state.terminal,
        )


def _failure_reason(error: ErrorInfo) -> str:
    return "timeout" if error.type == TIMEOUT else "stage_failed"
