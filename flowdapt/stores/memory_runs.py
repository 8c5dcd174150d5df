"""Keep runs in memory, with the promises of the port: for tests and runs without a daemon.

No threads and no waiting, so it also works under a test's own clock. Records are copied at the
door in both directions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace

import trio

from flowdapt.domain import facts
from flowdapt.domain.events import WORKFLOW_STARTED
from flowdapt.domain.records import (
    ItemRecord,
    NewRun,
    RunChange,
    RunPatch,
    RunRecord,
    StageRecord,
    Submission,
    TaskRecord,
)
from flowdapt.domain.run import RunState, StageState
from flowdapt.domain.task import MetricPoint
from flowdapt.ports.clock import Clock
from flowdapt.ports.store import LoadedRun, Store
from flowdapt.stores import refusals
from flowdapt.stores.memory_journal import MemoryJournal

__all__ = ["HeldRun", "MemoryRuns"]


@dataclass(slots=True)
class HeldRun:
    """A run and all that belongs to it."""

    run: RunRecord
    stages: list[StageRecord]
    max_runs: int | None = None
    # Keyed as the rows are: (stage, start, attempt, stop, epoch, state).
    tasks: dict[tuple[str, int, int, int, int, str], TaskRecord] = field(default_factory=dict)
    items: dict[tuple[str, int], ItemRecord] = field(default_factory=dict)
    metrics: dict[tuple[str, str, int, int], MetricPoint] = field(default_factory=dict)

    def loaded(self) -> LoadedRun:
        """Return copies that their owner may change."""
        tasks = sorted(self.tasks.items(), key=lambda pair: pair[0])
        items = sorted(self.items.items(), key=lambda pair: pair[0])
        return LoadedRun(
            copied(self.run),
            [copy(stage) for stage in self.stages],
            [task for _, task in tasks],
            [item for _, item in items],
        )

    def keep(self, epoch: int, tasks: Iterable[TaskRecord], items: Iterable[ItemRecord]) -> None:
        for task in tasks:
            key = (task.stage, task.start, task.attempt, task.stop, epoch, task.state)
            self.tasks[key] = task
        for item in items:
            self.items[item.stage, item.index] = item


def copied(run: RunRecord) -> RunRecord:
    return replace(run, labels=dict(run.labels))


class MemoryRuns(Store):
    """The half of the memory store that deals with runs."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._runs: dict[str, HeldRun] = {}
        self._journal = MemoryJournal(clock)
        self._number = 0

    def _held(self, uid: str) -> HeldRun:
        if uid not in self._runs:
            raise refusals.no_run(uid)
        return self._runs[uid]

    def _in_state(self, *states: RunState) -> Iterator[HeldRun]:
        return (held for held in self._runs.values() if held.run.state in states)

    def _active(self) -> list[HeldRun]:
        return list(self._in_state(RunState.RUNNING, RunState.CANCELLING))

    # -- submission ------------------------------------------------------------------------------

    async def submit(self, new: NewRun) -> Submission:
        await trio.lowlevel.checkpoint()
        return self._submit(new)

    def _submit(self, new: NewRun) -> Submission:
        old = self._old(new.run)
        if old is not None:
            return Submission(copied(old.run), [copy(stage) for stage in old.stages], created=False)
        new = replace(new, run=copied(new.run), stages=[copy(stage) for stage in new.stages])
        replaced = self._place(new)
        if new.run.state is RunState.QUEUED:
            queued = sum(1 for _ in self._in_state(RunState.QUEUED))
            if queued >= new.max_queued:
                raise refusals.queue_full(new.max_queued)
        for other in replaced:
            self._cancel(other, "replaced")
        return self._insert(new)

    def _old(self, run: RunRecord) -> HeldRun | None:
        key = run.idempotency_key
        for held in self._runs.values() if key is not None else ():
            old = held.run
            if (old.workflow, old.idempotency_key) == (run.workflow, key):
                if old.body_digest != run.body_digest:
                    raise refusals.key_reused(str(key), old.name)
                return held
        return None

    def _place(self, new: NewRun) -> list[HeldRun]:
        """Change the run to what the workflow's limit allows; return the runs it replaces."""
        run = new.run
        others = [
            held
            for held in self._runs.values()
            if held.run.workflow == run.workflow and not held.run.state.terminal
        ]
        if new.max_runs is None or len(others) < new.max_runs:
            return []
        run.state, run.owner, run.epoch, run.started_at = RunState.QUEUED, None, 0, None
        queued = facts.run_queued(run)
        new.events = [queued if e.type == WORKFLOW_STARTED else e for e in new.events]
        if new.when_full != "skip":
            return others if new.when_full == "replace" else []
        run.state, run.reason, run.finished_at = RunState.CANCELLED, "skipped", run.created_at
        _end_stages(new.stages, run)
        new.events = [*new.events, facts.run_finished(run)]
        return []

    def _insert(self, new: NewRun) -> Submission:
        run = new.run
        self._number += 1
        run.number, run.next_seq = self._number, 1
        held = HeldRun(run, new.stages, new.max_runs)
        held.keep(run.epoch, new.tasks, new.items)
        self._runs[run.uid] = held
        self._journal.of_run(run, new.events)
        return Submission(copied(run), [copy(stage) for stage in new.stages], created=True)

    # -- owning ------------------------------------------------------------------------------------

    async def claim(self, owner: str, *, limit: int) -> list[LoadedRun]:
        await trio.lowlevel.checkpoint()
        claimed: list[HeldRun] = []
        for held in sorted(self._active(), key=lambda held: held.run.number):
            if held.run.owner is None and len(claimed) < limit:
                claimed.append(held)
                self._own(held, owner)
        queued = self._in_state(RunState.QUEUED)
        for held in sorted(queued, key=lambda held: (-held.run.priority, held.run.number)):
            if len(claimed) < limit and self._may_start(held):
                claimed.append(held)
                self._own(held, owner)
                run = held.run
                run.state = RunState.RUNNING
                run.started_at = max(self._clock.now(), run.created_at)
                self._journal.of_run(run, [facts.run_started(run)])
        return [held.loaded() for held in claimed]

    def _may_start(self, held: HeldRun) -> bool:
        active = sum(1 for other in self._active() if other.run.workflow == held.run.workflow)
        return held.max_runs is None or active < held.max_runs

    @staticmethod
    def _own(held: HeldRun, owner: str) -> None:
        held.run.owner = owner
        held.run.epoch += 1

    async def reclaim(self, owner: str, *, dead: Sequence[str]) -> list[LoadedRun]:
        await trio.lowlevel.checkpoint()
        taken = [held for held in self._active() if held.run.owner in dead]
        for held in taken:
            self._own(held, owner)
        return [held.loaded() for held in taken]

    async def release(self, owner: str) -> int:
        await trio.lowlevel.checkpoint()
        owned = [held for held in self._active() if held.run.owner == owner]
        for held in owned:
            held.run.owner = None
            for stage in held.stages:
                if stage.state is StageState.RUNNING:
                    stage.state = StageState.PENDING
        return len(owned)

    async def commit(self, change: RunChange) -> None:
        await trio.lowlevel.checkpoint()
        held = self._runs.get(change.uid)
        if held is None or held.run.epoch != change.epoch or held.run.state.terminal:
            raise refusals.stale(change.uid, change.epoch)
        run = held.run
        if change.events and change.first_seq != run.next_seq:
            raise refusals.out_of_turn(run.uid, change.first_seq, run.next_seq)
        if change.run is not None:
            _patch(run, change.run)
        for stage in change.stages:
            held.stages[stage.position] = copy(stage)
        held.keep(change.epoch, change.tasks, change.items)
        self._journal.of_run(run, change.events)
        self._measure(held, change.metrics)

    @staticmethod
    def _measure(held: HeldRun, points: Iterable[tuple[str, MetricPoint]]) -> None:
        for stage, point in points:
            index = -1 if point.index is None else point.index
            held.metrics[stage, point.name, index, point.step] = point

    # -- cancelling and reading ----------------------------------------------------------------------

    async def request_cancel(self, uid: str, reason: str) -> RunRecord:
        await trio.lowlevel.checkpoint()
        held = self._held(uid)
        self._cancel(held, reason)
        return copied(held.run)

    def _cancel(self, held: HeldRun, reason: str) -> None:
        run = held.run
        if run.state.terminal or run.cancel_requested_at is not None:
            return
        now = max(self._clock.now(), run.created_at)
        run.cancel_requested_at, run.cancel_reason = now, reason
        if run.state is RunState.QUEUED:
            run.state, run.reason, run.finished_at = RunState.CANCELLED, reason, now
            _end_stages(held.stages, run)
            self._journal.of_run(run, [facts.run_finished(run)])

    async def get_run(self, ident: str) -> RunRecord:
        await trio.lowlevel.checkpoint()
        if ident in self._runs:
            return copied(self._runs[ident].run)
        runs = [held.run for held in self._runs.values()]
        found = [run for run in runs if run.name == ident]
        if not found and len(ident) >= refusals.PREFIX_MIN:
            found = [run for run in runs if run.uid.startswith(ident) or run.name.startswith(ident)]
        if not found:
            raise refusals.no_run(ident)
        if len(found) > 1:
            raise refusals.ambiguous(ident, [f"{run.name} ({run.uid})" for run in found[:3]])
        return copied(found[0])

    async def load_run(self, uid: str) -> LoadedRun:
        await trio.lowlevel.checkpoint()
        return self._held(uid).loaded()

    async def list_stages(self, uid: str) -> list[StageRecord]:
        await trio.lowlevel.checkpoint()
        return [copy(stage) for stage in self._held(uid).stages]

    async def delete_run(self, uid: str) -> None:
        await trio.lowlevel.checkpoint()
        held = self._held(uid)
        if not held.run.state.terminal:
            raise refusals.not_terminal(uid, held.run.state)
        self._forget(uid)
        self._journal.add(facts.run_deleted(uid, held.run.workflow, "user"))

    def _forget(self, uid: str) -> None:
        del self._runs[uid]
        self._journal.forget(uid)

    async def count_runs(self) -> Mapping[str, int]:
        await trio.lowlevel.checkpoint()
        counts: dict[str, int] = {}
        for held in self._runs.values():
            if not held.run.state.terminal:
                counts[held.run.state.value] = counts.get(held.run.state.value, 0) + 1
        return counts


def _end_stages(stages: Sequence[StageRecord], run: RunRecord) -> None:
    for stage in stages:
        if not stage.state.terminal:
            stage.state, stage.next_at = StageState.CANCELLED, None
            stage.finished_at = run.finished_at


def _patch(run: RunRecord, patch: RunPatch) -> None:
    run.state, run.reason, run.partial = patch.state, patch.reason, patch.partial
    run.started_at, run.finished_at = patch.started_at, patch.finished_at
    run.result, run.error = patch.result, patch.error
    if patch.state.terminal or patch.release_owner:
        run.owner = None
