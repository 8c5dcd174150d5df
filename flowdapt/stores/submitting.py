"""Decide what a submission writes: the run as asked, queued behind others, skipped, or the old one."""

from __future__ import annotations

from copy import copy
from dataclasses import replace

from flowdapt.domain import facts
from flowdapt.domain.events import WORKFLOW_STARTED
from flowdapt.domain.records import NewRun, RunRecord, Submission
from flowdapt.domain.run import RunState, StageState
from flowdapt.stores import prepared as sql
from flowdapt.stores.cancelling import request_cancel
from flowdapt.stores.dialects import SQLITE
from flowdapt.stores.journal import write_events
from flowdapt.stores.links import Tx
from flowdapt.stores.reading import load_row, stages_of
from flowdapt.stores.records import item_row, run_row, stage_row, task_row
from flowdapt.stores.refusals import key_reused, queue_full
from flowdapt.stores.texts import Texts

__all__ = ["Backlog", "submit"]


class Backlog:
    """An upper bound of the queued runs, so that counting them is rare. The writer's alone."""

    def __init__(self) -> None:
        self._at_most: int | None = None

    def admit(self, tx: Tx, limit: int) -> None:
        """Count one more queued run; raise QueueFull when there are `limit` already."""
        if self._at_most is None or self._at_most >= limit or tx.name != SQLITE:
            row = tx.one(sql.COUNT_QUEUED)
            self._at_most = int(row[0]) if row else 0
        if self._at_most >= limit:
            raise queue_full(limit)
        self._at_most += 1


def submit(tx: Tx, texts: Texts, backlog: Backlog, new: NewRun) -> Submission:
    """Store the run with stages, tasks and events; see `Store.submit`."""
    if new.max_runs is not None or new.run.idempotency_key is not None:
        tx.lock(f"workflow {new.run.workflow}")
    old = _find_old(tx, texts, new.run)
    if old is not None:
        return old
    new, replaced = _placed(tx, new)
    run = new.run
    if run.state is RunState.QUEUED:
        backlog.admit(tx, new.max_queued)
    for uid in replaced:
        request_cancel(tx, uid, "replaced")
    run.next_seq = 1 + len(new.events)
    digests = texts.put(tx, run.definition), texts.put(tx, run.config)
    run.number = tx.add(sql.INSERT_RUN, run_row(run, *digests, new.max_runs))
    tx.many(sql.INSERT_STAGE, [stage_row(run.number, stage) for stage in new.stages])
    if new.tasks:
        tx.many(sql.PUT_TASK, [task_row(run.number, run.epoch, task) for task in new.tasks])
    if new.items:
        tx.many(sql.PUT_ITEM, [item_row(run.number, item) for item in new.items])
    write_events(tx, run.number, 1, new.events)
    return Submission(run, new.stages, created=True)


def _find_old(tx: Tx, texts: Texts, run: RunRecord) -> Submission | None:
    key = run.idempotency_key
    if key is None:
        return None
    row = tx.one(sql.OLD_KEY, (run.workflow, key))
    if row is None:
        return None
    old = load_row(tx, texts, row)
    if old.body_digest != run.body_digest:
        raise key_reused(key, old.name)
    return Submission(old, stages_of(tx, old.number), created=False)


def _placed(tx: Tx, new: NewRun) -> tuple[NewRun, list[str]]:
    """Return the run as the workflow's own limit lets it be stored, and the runs it replaces."""
    run = copy(new.run)
    placed = replace(new, run=run)
    if new.max_runs is None:
        return placed, []
    others = [str(row[0]) for row in tx.all(sql.OPEN_OF_WORKFLOW, (run.workflow,))]
    if len(others) < new.max_runs:
        return placed, []
    if new.when_full == "skip":
        return _skipped(placed), []
    return _queued(placed), others if new.when_full == "replace" else []


def _queued(new: NewRun) -> NewRun:
    run = new.run
    run.state, run.owner, run.epoch, run.started_at = RunState.QUEUED, None, 0, None
    new.events = [
        facts.run_queued(run) if draft.type == WORKFLOW_STARTED else draft for draft in new.events
    ]
    return new


def _skipped(new: NewRun) -> NewRun:
    run = _queued(new).run
    run.state, run.reason, run.finished_at = RunState.CANCELLED, "skipped", run.created_at
    new.stages = [copy(stage) for stage in new.stages]
    for stage in new.stages:
        if not stage.state.terminal:
            stage.state, stage.finished_at = StageState.CANCELLED, run.created_at
    new.events = [*new.events, facts.run_finished(run)]
    return new
