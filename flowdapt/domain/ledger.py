"""Keep the books of one open run: which record changed, what happened, what the next step writes.

Every change of a state goes through here, so the transition table is asked each time. What is to
change is decided in `machine.py` and `mapped.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime

from flowdapt.domain import facts
from flowdapt.domain.events import EventDraft
from flowdapt.domain.records import (
    ItemRecord,
    RunChange,
    RunPatch,
    RunRecord,
    StageRecord,
    TaskRecord,
)
from flowdapt.domain.run import RunState, StageState, StageType, may_become
from flowdapt.domain.task import Cancelled, ErrorInfo, Failed, Finished, Lost, Outcome

__all__ = ["RESULT_GONE", "Ledger", "Step", "Task"]

# The reason in the row of an attempt that had finished, and whose result nobody has any more.
RESULT_GONE = "result_gone"


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


class Ledger:
    """The records of one run, and the step that is being written."""

    def __init__(self, run: RunRecord, stages: Iterable[StageRecord]) -> None:
        self.run = run
        self.stages = {stage.name: stage for stage in stages}
        self.step = Step(RunChange(run.uid, run.epoch))
        # Stages that have not ended yet.
        self.unended = sum(not record.state.terminal for record in self.stages.values())
        self._dirty: dict[str, StageRecord] = {}

    def close_step(self, items: Iterable[ItemRecord]) -> Step:
        """Return everything since the last call, with these item records, and begin a new step."""
        step, self.step = self.step, Step(RunChange(self.run.uid, self.run.epoch))
        change = step.change
        # Copies: the records go on changing while the store's thread still writes.
        change.stages = [copy(record) for record in self._dirty.values()]
        self._dirty = {}
        change.items.extend(items)
        change.first_seq = self.run.next_seq
        self.run.next_seq += len(change.events)
        if change.run is not None:
            change.run = self._run_patch()
        return step

    # -- stages ------------------------------------------------------------------------------------

    def touch(self, record: StageRecord) -> None:
        """Have the record written with the next step."""
        self._dirty[record.name] = record

    def set_stage(self, record: StageRecord, state: StageState) -> None:
        """Change the state of a stage."""
        assert may_become(record.state, state), f"{record.name}: {record.state} -> {state}"
        record.state = state
        self.touch(record)

    def close_stage(
        self, record: StageRecord, state: StageState, now: datetime, *, reason: str | None = None
    ) -> None:
        """End a stage, with its event."""
        self.set_stage(record, state)
        self.unended -= 1
        record.reason = reason
        record.next_at = None
        record.finished_at = max(record.started_at or now, now)
        self.tell(facts.stage_event(facts.STAGE_FINISHED, self.run, record))

    def reopen_stage(self, record: StageRecord, error: ErrorInfo, now: datetime) -> None:
        """Have a finished stage run again, since nobody has its result any more; with its event."""
        if record.type is StageType.SIMPLE:
            began = record.started_at or now
            self.step.change.tasks.append(_lost_attempt(record, began, now, RESULT_GONE))
            # Nothing was wrong with the code: the same number is tried again.
            record.attempt = max(0, record.attempt - 1)
        self.set_stage(record, StageState.PENDING)
        self.unended += 1
        record.recoveries += 1
        record.result = record.finished_at = record.reason = None
        self.tell(facts.stage_lost(self.run, record, error))

    # -- the run -----------------------------------------------------------------------------------

    def set_run(self, state: RunState, reason: str | None) -> None:
        """Change the state of the run."""
        assert may_become(self.run.state, state), f"{self.run.state} -> {state}"
        self.run.state = state
        self.run.reason = reason
        self.step.change.run = self._run_patch()

    def end_run(self, state: RunState, reason: str | None, now: datetime) -> None:
        """End the run, with its one terminal event."""
        self.set_run(state, reason)
        self.run.finished_at = max(self.run.started_at or now, now)
        self.tell(facts.run_finished(self.run))

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

    # -- what happened -----------------------------------------------------------------------------

    def tell(self, event: EventDraft) -> None:
        """Write an event with the next step."""
        self.step.change.events.append(event)

    def note_attempt(self, task: Task, outcome: Outcome, began: datetime, now: datetime) -> None:
        """Write the row of an attempt that ended; of a mapped stage it carries the value."""
        stop = task.stop
        value = None
        mapped = self.stages[task.stage].type is StageType.PARAMETERIZED
        if isinstance(outcome, Finished) and mapped:
            value = outcome.value
            stop = max(task.start, min(outcome.reached or stop, stop))
        self.step.change.tasks.append(
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

    def note_death(self, record: StageRecord, now: datetime) -> None:
        """Write the row of an attempt whose daemon died under it."""
        began = record.started_at or now
        self.step.change.tasks.append(_lost_attempt(record, began, now, "daemon_died"))


def _lost_attempt(record: StageRecord, began: datetime, now: datetime, reason: str) -> TaskRecord:
    return TaskRecord(
        record.name, 0, 1, record.attempt, "lost", began, max(began, now), reason=reason
    )
