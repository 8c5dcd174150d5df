"""Make the records that the contract of stores submits and commits."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from flowdapt.domain import facts
from flowdapt.domain.records import NewRun, RunChange, RunPatch, RunRecord, StageRecord, TaskRecord
from flowdapt.domain.resource import Metadata, Resource
from flowdapt.domain.run import RunState, StageState, StageType
from flowdapt.domain.task import ValueRef
from flowdapt.ports.store import ResourceWrite, Store

__all__ = [
    "ended_task",
    "finish",
    "finished_stage",
    "inline",
    "new_run",
    "patch_of",
    "progress",
    "write_of",
]

DEFINITION = '{"stages":[{"name":"a"},{"name":"b","depends_on":["a"]}]}'


def inline(value: Any) -> ValueRef:
    """Return the reference of a small JSON value."""
    data = msgspec.json.encode(value)
    return ValueRef(kind="inline", data=data, size_bytes=len(data))


def new_run(
    workflow: str = "forecast",
    *,
    owner: str | None = None,
    key: str | None = None,
    body: str = "body",
    stages: Sequence[str] = ("a", "b"),
    limit: tuple[int, str] | None = None,
    max_queued: int = 10_000,
    **columns: Any,
) -> NewRun:
    """Return a run to submit: queued, or running under `owner` as a folded claim makes it.

    `limit` is (max_runs, when_full); `columns` are those of the run.
    """
    uid = secrets.token_hex(16)
    now = columns.pop("created_at", datetime.now(UTC))
    run = RunRecord(
        uid=uid, name=f"calm-river-{uid[:8]}", workflow=workflow, revision=1,
        state=RunState.RUNNING if owner else RunState.QUEUED, source="api", namespace="default",
        executor="local", definition=DEFINITION, config='{"k":1}', input=inline({"x": 1}),
        created_at=now, owner=owner, epoch=1 if owner else 0, started_at=now if owner else None,
        idempotency_key=key, body_digest=body if key else None,
    )  # fmt: skip
    run = replace(run, **columns)
    records = [StageRecord(name, at, StageType.SIMPLE) for at, name in enumerate(stages)]
    first = facts.run_started(run) if owner else facts.run_queued(run)
    new = NewRun(run, records, [first], max_queued=max_queued)
    if limit is not None:
        new.max_runs, new.when_full = limit
    return new


def finished_stage(stage: StageRecord, value: Any = None) -> StageRecord:
    """Return the stage as it is after a success."""
    now = datetime.now(UTC)
    return replace(
        stage, state=StageState.FINISHED, attempt=1, started_at=now, finished_at=now,
        result=inline(value),
    )  # fmt: skip


def ended_task(stage: str, start: int = 0, stop: int = 1, **fields: Any) -> TaskRecord:
    """Return a finished attempt, unless `fields` say otherwise."""
    now = datetime.now(UTC)
    given: dict[str, Any] = {"attempt": 1, "state": "finished", "value": inline([start])}
    return TaskRecord(
        stage=stage, start=start, stop=stop, started_at=now, finished_at=now, **given | fields
    )


def progress(run: RunRecord, stage: StageRecord, value: Any = None) -> RunChange:
    """Return the change that finishes a stage, with its task and event; counts `next_seq` up."""
    done = finished_stage(stage, value)
    change = RunChange(run.uid, run.epoch, first_seq=run.next_seq)
    change.stages.append(done)
    change.tasks.append(ended_task(stage.name))
    change.events.append(facts.stage_event(facts.STAGE_FINISHED, run, done))
    run.next_seq += 1
    return change


def patch_of(run: RunRecord, state: RunState, **fields: Any) -> RunPatch:
    """Return the patch that brings a run to a state."""
    now = max(datetime.now(UTC), run.started_at or run.created_at)
    given: dict[str, Any] = {
        "started_at": run.started_at,
        "finished_at": now if state.terminal else None,
    }
    return RunPatch(state, **given | fields)


async def finish(
    store: Store, run: RunRecord, stages: Sequence[StageRecord], **fields: Any
) -> RunChange:
    """Commit the end of a run with all its stages finished; return the change."""
    change = RunChange(run.uid, run.epoch, first_seq=run.next_seq)
    change.run = patch_of(run, RunState.FINISHED, **fields)
    change.stages = [finished_stage(stage) for stage in stages]
    change.tasks = [ended_task(stage.name) for stage in stages]
    change.events.append(facts.run_finished(replace(run, state=RunState.FINISHED)))
    run.next_seq += 1
    await store.commit(change)
    return change


def write_of(
    name: str,
    spec: Mapping[str, Any],
    *,
    kind: Any = "workflow",
    annotations: Mapping[str, Any] | None = None,
    if_revision: int | None = None,
) -> ResourceWrite:
    """Return a document to apply."""
    metadata = Metadata(name=name, annotations=dict(annotations or {}))
    return ResourceWrite(Resource(kind=kind, metadata=metadata, spec=dict(spec)), if_revision)
