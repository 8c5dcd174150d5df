"""Decide who drives which run and what an owner writes: claim, take over, let go, commit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from flowdapt.domain import facts
from flowdapt.domain.records import RunChange, RunPatch
from flowdapt.ports.store import LoadedRun
from flowdapt.stores import prepared as sql
from flowdapt.stores.journal import write_events, write_metrics
from flowdapt.stores.links import Tx
from flowdapt.stores.reading import load
from flowdapt.stores.records import (
    error_blob,
    item_row,
    micros,
    stage_patch_row,
    task_row,
    value_blob,
)
from flowdapt.stores.refusals import out_of_turn, stale
from flowdapt.stores.texts import Texts

__all__ = ["claim", "commit", "reclaim", "release"]


def commit(tx: Tx, change: RunChange) -> None:
    """Write one step of a run; see `Store.commit`. Refuses before it writes."""
    row = tx.one(sql.OWNED_RUN, (change.uid, change.epoch))
    if row is None:
        raise stale(change.uid, change.epoch)
    run_id, next_seq = row
    if change.events and change.first_seq != next_seq:
        raise out_of_turn(change.uid, change.first_seq, next_seq)
    next_seq += len(change.events)
    if change.run is not None:
        _patch_run(tx, run_id, change.run, next_seq)
    elif change.events:
        tx.run(sql.SET_NEXT_SEQ, (next_seq, run_id))
    if change.stages:
        rows = [(*stage_patch_row(stage), run_id, stage.position) for stage in change.stages]
        tx.many(sql.PATCH_STAGE, rows)
    _write_progress(tx, run_id, change)


def _write_progress(tx: Tx, run_id: int, change: RunChange) -> None:
    if change.tasks:
        tx.many(sql.PUT_TASK, [task_row(run_id, change.epoch, task) for task in change.tasks])
    if change.items:
        tx.many(sql.PUT_ITEM, [item_row(run_id, item) for item in change.items])
    if change.events:
        write_events(tx, run_id, change.first_seq, change.events)
    if change.metrics:
        write_metrics(tx, run_id, change.metrics)


def _patch_run(tx: Tx, run_id: int, patch: RunPatch, next_seq: int) -> None:
    ends = patch.state.terminal or patch.release_owner
    row = (
        patch.state.value, patch.reason, patch.partial, next_seq, micros(patch.started_at),
        micros(patch.finished_at), error_blob(patch.error), value_blob(patch.result), run_id,
    )  # fmt: skip
    tx.run(sql.END_RUN if ends else sql.PATCH_RUN, row)


def claim(tx: Tx, texts: Texts, owner: str, limit: int) -> list[LoadedRun]:
    """Take runs without an owner, then queued ones; see `Store.claim`."""
    left = [int(row[0]) for row in tx.all(sql.UNOWNED, (limit,))]
    for run_id in left:
        tx.run(sql.TAKE_OVER, (owner, run_id))
    loaded = [load(tx, texts, run_id) for run_id in left]
    queued = _from_queue(tx, limit - len(left))
    return loaded + [_start(tx, texts, owner, run_id) for run_id in queued]


def _from_queue(tx: Tx, room: int) -> list[int]:
    """Return the queued runs that may start, the most urgent first."""
    active: dict[str, int] = {}
    starting: Counter[str] = Counter()
    picked: list[int] = []
    for run_id, workflow, max_runs in tx.stream(sql.QUEUE) if room > 0 else ():
        if max_runs is not None:
            if workflow not in active:
                active[workflow] = _active(tx, workflow)
            if active[workflow] + starting[workflow] >= max_runs:
                continue
        if tx.one(sql.LOCK_QUEUED, (run_id,)) is None:
            continue
        starting[workflow] += 1
        picked.append(run_id)
        if len(picked) >= room:
            break
    return picked


def _active(tx: Tx, workflow: str) -> int:
    tx.lock(f"workflow {workflow}")
    row = tx.one(sql.COUNT_ACTIVE, (workflow,))
    return int(row[0]) if row else 0


def _start(tx: Tx, texts: Texts, owner: str, run_id: int) -> LoadedRun:
    tx.run(sql.START_RUN, (owner, tx.now(), run_id))
    loaded = load(tx, texts, run_id)
    write_events(tx, run_id, loaded.run.next_seq - 1, [facts.run_started(loaded.run)])
    return loaded


def reclaim(tx: Tx, texts: Texts, owner: str, dead: Sequence[str]) -> list[LoadedRun]:
    """Take over the open runs of dead owners."""
    loaded = []
    for other in dead:
        for (run_id,) in tx.all(sql.OWNED_BY, (other,)):
            tx.run(sql.TAKE_OVER, (owner, run_id))
            loaded.append(load(tx, texts, run_id))
    return loaded


def release(tx: Tx, owner: str) -> int:
    """Let go of every open run; what ran is pending again."""
    owned = tx.all(sql.OWNED_BY, (owner,))
    for (run_id,) in owned:
        tx.run(sql.DRAIN_STAGES, (run_id,))
        tx.run(sql.RELEASE_RUN, (run_id,))
    return len(owned)
