"""Decide what a run does next: what happened goes in, what to write, start and stop comes out.

Pure: no clock, no store, no loop. `services/driver.py` performs the steps. Everything in memory here
can be made again from the rows (`LoadedRun`), which is what a restart does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from flowdapt.domain import facts
from flowdapt.domain.dependencies import Dependencies
from flowdapt.domain.handles import only_held
from flowdapt.domain.ledger import Ledger, Step, Task
from flowdapt.domain.mapped import MappedStage
from flowdapt.domain.mapping import MapProgress
from flowdapt.domain.records import ItemRecord, RunRecord, StageRecord, TaskRecord
from flowdapt.domain.retry import (
    MAX_LOSSES,
    MAX_RECOVERIES,
    delay_s,
    failure_reason,
    may_retry,
)
from flowdapt.domain.run import RunState, StageState, StageType
from flowdapt.domain.task import (
    Cancelled,
    ErrorInfo,
    Failed,
    Finished,
    Lost,
    Outcome,
    ValueRef,
)
from flowdapt.domain.workflow import StageSpec, WorkflowSpec

__all__ = ["RunMachine"]


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
        self.open: set[Task] = set()
        self.maps: dict[str, MappedStage] = {}
        self._ledger = Ledger(run, stages)
        self.stages = self._ledger.stages
        self._specs = {stage.name: stage for stage in spec.stages}
        # May change while the run goes on: a cluster is opened, or grows.
        self.parallelism = parallelism
        self._lengths = lengths
        self._chance = chance
        self._dependencies = Dependencies(
            spec.stages, lambda name: self.stages[name].state is StageState.FINISHED
        )
        self._restored = (list(tasks), list(items))
        self._retrying: set[str] = set()

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
        for name in self._dependencies.met():
            if self.stages[name].state is StageState.PENDING:
                self._make_ready(name, now)
        self._settle(now)

    def started(self, task: Task, now: datetime) -> bool:
        """Note that a task's body runs; return whether that changed the stage (write it soon)."""
        record = self.stages[task.stage]
        if record.state.terminal or record.state is StageState.RUNNING:
            return False
        self._ledger.set_stage(record, StageState.RUNNING)
        record.next_at = None
        record.started_at = record.started_at or now
        if record.type is StageType.SIMPLE:
            record.attempt = task.attempt
        return True

    def ended(self, task: Task, outcome: Outcome, began: datetime, now: datetime) -> None:
        """Take in what became of a task."""
        self.open.discard(task)
        record = self.stages[task.stage]
        if not record.state.terminal:
            self.started(task, began)
            self._ledger.note_attempt(task, outcome, began, now)
            if record.type is StageType.PARAMETERIZED:
                self._slice_ended(record, task, outcome, now)
            else:
                self._simple_ended(record, task, outcome, now)
        self._settle(now)

    def due(self, now: datetime) -> None:
        """Start what waited for this instant."""
        for name, mapped in self.maps.items():
            if not self.stages[name].state.terminal:
                mapped.progress.release_due(now)
                self._start_slices(mapped, self._ledger.step.at_once)
        for name in list(self._retrying):
            record = self.stages[name]
            if record.state is StageState.RETRYING and record.next_at and record.next_at <= now:
                self._retrying.discard(name)
                record.next_at = None
                self._start([Task(name, 0, 1, record.attempt + 1)], self._ledger.step.start)

    def next_due(self) -> datetime | None:
        """Return the earliest instant for which `due` must be called."""
        waits = [due for name in self._retrying if (due := self.stages[name].next_at) is not None]
        waits += [due for m in self.maps.values() if (due := m.progress.next_due()) is not None]
        return min(waits, default=None)

    def stored(self, stage: str, old: ValueRef, new: ValueRef) -> None:
        """Note that the result of a finished stage, so far with the executor only, has a file now."""
        record = self.stages[stage]
        if record.result == old and not self.run.state.terminal:
            record.result = new
            self._ledger.touch(record)

    def cancel(self, reason: str, now: datetime) -> None:
        """Stop everything; the run ends when the last task has."""
        if self.run.state.terminal:
            return
        if self.run.state is not RunState.CANCELLING:
            self._ledger.set_run(RunState.CANCELLING, reason)
            self._ledger.tell(facts.run_cancelling(self.run))
        for record in self.stages.values():
            if not record.state.terminal:
                self._ledger.close_stage(record, StageState.CANCELLED, now, reason=reason)
        self._stop(self.open)
        self._settle(now)

    def step(self) -> Step:
        """Return everything to be done since the last call."""
        items = [item for mapped in self.maps.values() for item in mapped.changed_items()]
        return self._ledger.close_step(items)

    # -- stages ------------------------------------------------------------------------------------

    def _simple_ended(
        self, record: StageRecord, task: Task, outcome: Outcome, now: datetime
    ) -> None:
        if isinstance(outcome, Finished):
            self._finish(record, outcome.value, now)
        elif isinstance(outcome, Lost):
            if not (outcome.missing and self._waits_again(record, task, outcome, now)):
                self._lost(record, task, outcome, now)
        elif isinstance(outcome, Failed):
            self._failed(record, task, outcome.error, now)
        else:
            reason = outcome.reason or None
            self._ledger.close_stage(record, StageState.CANCELLED, now, reason=reason)
            self._skip_dependants(record.name, now)

    def _failed(self, record: StageRecord, task: Task, error: ErrorInfo, now: datetime) -> None:
        policy = self._specs[record.name].retry
        record.attempt = task.attempt
        if not may_retry(policy, error, task.attempt):
            self._fail(record, error, failure_reason(error), now)
            return
        self._ledger.set_stage(record, StageState.RETRYING)
        record.error = error
        record.next_at = now + timedelta(seconds=delay_s(policy, task.attempt, self._chance()))
        self._retrying.add(record.name)
        self._ledger.tell(facts.stage_event(facts.STAGE_RETRYING, self.run, record))

    def _lost(self, record: StageRecord, task: Task, outcome: Lost, now: datetime) -> None:
        record.losses += 1
        # A lost attempt is not the code's: the same number is tried again.
        record.attempt = task.attempt - 1
        record.error = outcome.error
        if self._specs[record.name].on_lost == "fail" or record.losses >= MAX_LOSSES:
            record.attempt = task.attempt
            self._fail(record, outcome.error, "stage_crashed", now)
            return
        self._ledger.touch(record)
        self._ledger.tell(facts.stage_lost(self.run, record, outcome.error))
        self._start([task], self._ledger.step.start)

    def _slice_ended(
        self, record: StageRecord, task: Task, outcome: Outcome, now: datetime
    ) -> None:
        mapped = self.maps[record.name]
        if isinstance(outcome, Lost):
            self._ledger.tell(facts.stage_lost(self.run, record, outcome.error))
            if outcome.missing and self._inputs_return(record, outcome, now):
                outcome = Cancelled(outcome.reason)
            if record.state.terminal:  # what it needs cannot be made again
                return
        verdict = mapped.slice_ended(task, outcome, now)
        if verdict is not None:
            self._fail(record, verdict.error, verdict.reason, now)
        elif mapped.progress.done:
            self._finish(record, mapped.progress.result(), now)
        else:
            self._start_slices(mapped, self._ledger.step.at_once)

    def _start_slices(self, mapped: MappedStage, into: list[Task]) -> None:
        if not self._dependencies.waits(mapped.name):
            self._start(mapped.take(self.open, self.parallelism), into)

    # -- results that are gone ---------------------------------------------------------------------

    def _waits_again(self, record: StageRecord, task: Task, outcome: Lost, now: datetime) -> bool:
        """Put a simple stage back until its lost inputs are there; say whether they will be."""
        record.attempt = task.attempt - 1
        self._ledger.set_stage(record, StageState.PENDING)
        if not self._inputs_return(record, outcome, now):
            return False
        begins = record.state is not StageState.PENDING or self._dependencies.waits(record.name)
        if not begins and all(task.stage != record.name for task in self.open):
            self._make_ready(record.name, now)
        return True

    def _inputs_return(self, record: StageRecord, outcome: Lost, now: datetime) -> bool:
        """Have inputs that are gone made again; say whether the stage gets them by waiting."""
        gone = frozenset(outcome.missing)
        again = [
            name
            for name in self._specs[record.name].depends_on
            if self._reopen(self.stages[name], gone, now)
        ]
        return bool(again) or self._dependencies.waits(record.name)

    def _reopen(self, record: StageRecord, gone: frozenset[str], now: datetime) -> bool:
        """Run a finished stage again when its result, or a part of it, is among what is gone."""
        if record.state is not StageState.FINISHED or not self._loses(record, gone, now):
            return False
        self._ledger.reopen_stage(record, _RESULT_GONE, now)
        self._dependencies.reopened(record.name)
        if record.recoveries >= MAX_RECOVERIES:
            self._fail(record, _RESULT_GONE, "stage_crashed", now)
        elif not self._dependencies.waits(record.name):
            self._make_ready(record.name, now)
        return True

    def _loses(self, record: StageRecord, gone: frozenset[str], now: datetime) -> bool:
        if record.type is StageType.SIMPLE:
            return record.result is not None and not gone.isdisjoint(only_held(record.result))
        if record.name not in self.maps:  # it finished under an earlier owner
            self._open_map(record.name, record.items_total or 0)
        return self.maps[record.name].progress.lose(gone)

    # -- readiness ---------------------------------------------------------------------------------

    def _make_ready(self, name: str, now: datetime) -> None:
        record = self.stages[name]
        start = self._ledger.step.start
        if record.type is StageType.SIMPLE:
            self._start([Task(name, 0, 1, record.attempt + 1)], start)
            return
        spec = self._specs[name]
        total = self._items_of(spec)
        if total is None:
            self._fail(record, _not_mappable(spec), "stage_failed", now)
            return
        if record.items_total not in (None, total):
            self._fail(record, _other_items(spec, record.items_total, total), "stage_failed", now)
            return
        if name not in self.maps:
            self._open_map(name, total)
        mapped = self.maps[name]
        mapped.count()
        if mapped.progress.done:
            self._finish(record, mapped.progress.result(), now)
        else:
            self._start_slices(mapped, start)

    def _open_map(self, name: str, total: int) -> None:
        tasks, items = self._restored
        progress = MapProgress.restore(
            name,
            total,
            self.parallelism,
            (task for task in tasks if task.stage == name),
            (item for item in items if item.stage == name),
        )
        self.maps[name] = MappedStage(
            self._ledger, self.stages[name], self._specs[name], progress, self._chance
        )

    def _items_of(self, spec: StageSpec) -> int | None:
        source = spec.map_on or (spec.depends_on[0] if spec.depends_on else None)
        if source is None:
            return None
        if source in spec.depends_on:
            value = self.stages[source].result
            return value.length if value is not None else None
        return self._lengths(source)

    def _recover(self, record: StageRecord, now: datetime) -> None:
        """Give a stage of a dead owner its next chance; the daemon's death is not its loss."""
        was_running = record.state is StageState.RUNNING
        simple = record.type is StageType.SIMPLE
        if simple and not was_running and record.next_at is not None:
            self._retrying.add(record.name)
            return
        if was_running:
            record.recoveries += 1
        if was_running and simple:
            self._ledger.note_death(record, now)
        if record.recoveries >= MAX_RECOVERIES:
            error = ErrorInfo(
                "flowdapt.StageCrashed", "the daemon died again and again while this stage ran"
            )
            self._fail(record, error, "stage_crashed", now)
            return
        if simple and was_running:
            record.attempt = max(0, record.attempt - 1)
        self._ledger.set_stage(record, StageState.PENDING)
        if was_running:
            self._ledger.tell(facts.stage_lost(self.run, record, _DAEMON_DIED))

    def _start(self, tasks: list[Task], into: list[Task]) -> None:
        self.open.update(tasks)
        into.extend(tasks)

    def _stop(self, tasks: Iterable[Task]) -> None:
        """Have tasks stopped; one that was to start with this very step never begins."""
        step = self._ledger.step
        for task in list(tasks):
            unborn = next((some for some in (step.start, step.at_once) if task in some), None)
            if unborn is None:
                step.stop.append(task)
            else:
                unborn.remove(task)
                self.open.discard(task)

    # -- ends --------------------------------------------------------------------------------------

    def _finish(self, record: StageRecord, value: ValueRef, now: datetime) -> None:
        record.result = value
        record.error = None
        self._ledger.close_stage(record, StageState.FINISHED, now)
        for name in self._dependencies.finished(record.name):
            state = self.stages[name].state
            # A mapped stage may have slices under way that began before an input of it was lost.
            if state is StageState.PENDING or (name in self.maps and not state.terminal):
                self._make_ready(name, now)

    def _fail(self, record: StageRecord, error: ErrorInfo, reason: str, now: datetime) -> None:
        record.error = facts.at_stage(error, record.name)
        self._ledger.close_stage(record, StageState.FAILED, now, reason=reason)
        self._stop(task for task in self.open if task.stage == record.name)
        self._skip_dependants(record.name, now)

    def _skip_dependants(self, name: str, now: datetime) -> None:
        below = list(self._dependencies.of(name))
        while below:
            record = self.stages[below.pop()]
            if record.state.terminal:
                continue
            # Only one whose input was lost can have begun: it never gets it back.
            begun = record.state is not StageState.PENDING
            state = StageState.CANCELLED if begun else StageState.SKIPPED
            self._ledger.close_stage(record, state, now, reason="dependency_failed")
            self._stop([task for task in self.open if task.stage == record.name])
            below.extend(self._dependencies.of(record.name))

    def _settle(self, now: datetime) -> None:
        """End the run when nothing of it is open."""
        run = self.run
        if run.state.terminal or self.open or self._ledger.unended:
            return
        if run.state is RunState.CANCELLING:
            self._end_cancelled(now)
        elif all(record.state is StageState.FINISHED for record in self.stages.values()):
            run.partial = any(record.items_failed for record in self.stages.values())
            run.result = facts.run_result(self.spec, self.stages)
            self._ledger.end_run(RunState.FINISHED, None, now)
        else:
            ended = (StageState.FAILED, StageState.CANCELLED)
            first = min(
                (record for record in self.stages.values() if record.state in ended),
                key=lambda record: (record.finished_at or now, record.position),
            )
            run.error = first.error
            self._ledger.end_run(RunState.FAILED, first.reason or "stage_failed", now)

    def _end_cancelled(self, now: datetime) -> None:
        run = self.run
        if run.reason != "timeout":
            self._ledger.end_run(RunState.CANCELLED, run.reason, now)
            return
        run.error = ErrorInfo(
            "flowdapt.RunTimeout",
            f"the run took longer than its timeout of {run.timeout_s or 0:g} s",
        )
        self._ledger.end_run(RunState.FAILED, run.reason, now)


_RESULT_GONE = ErrorInfo(
    "flowdapt.ResultGone", "the only copy of its result was lost with a worker or the executor"
)
_DAEMON_DIED = ErrorInfo("flowdapt.DaemonDied", "the daemon died while this stage ran")


def _other_items(spec: StageSpec, before: int | None, now: int) -> ErrorInfo:
    message = (
        f"{spec.map_on or spec.depends_on[0]!r} had to be made again and has {now} items now, not "
        f"{before}: results of both would mix; make it repeatable, or write checkpoint: always"
    )
    return ErrorInfo("flowdapt.InputChanged", message, stage=spec.name, retryable=False)


def _not_mappable(spec: StageSpec) -> ErrorInfo:
    source = spec.map_on or "".join(spec.depends_on[:1])
    if source in spec.depends_on:
        message = f"cannot map over the result of {source!r}: it is not a list"
    else:
        message = f"cannot map over {source!r}: the run's input has no list of that name"
    return ErrorInfo("flowdapt.NotMappable", message, stage=spec.name, retryable=False)
