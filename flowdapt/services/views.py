"""Make the wire form of runs and stages out of their records, live counts and small results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from flowdapt.domain.records import ItemRecord, RunRecord, StageRecord, TaskRecord
from flowdapt.domain.run import Item, Items, Run, RunError, StageRun, StageType
from flowdapt.domain.task import ErrorInfo, ValueRef
from flowdapt.ports.engine import LiveStage

__all__ = ["item_views", "preview_of", "run_view", "stage_view"]

_NOTHING_LIVE = LiveStage()


def run_view(
    run: RunRecord,
    stages: Sequence[StageRecord] = (),
    *,
    live: Mapping[str, LiveStage] | None = None,
    input_text: bytes | None = None,
    result_text: bytes | None = None,
    now: datetime | None = None,
) -> Run:
    """Return the run as clients see it; `now` gives open runs their duration so far."""
    live = live or {}
    result = run.result
    return Run(
        uid=run.uid,
        name=run.name,
        workflow=run.workflow,
        revision=run.revision,
        state=run.state,
        reason=run.reason,
        partial=run.partial,
        source=run.source,
        executor=run.executor,
        namespace=run.namespace,
        priority=run.priority,
        labels=run.labels,
        experiment=run.experiment,
        trial=run.trial,
        parent=run.parent,
        trigger_rule=run.trigger_rule,
        input=json.loads(input_text) if input_text else None,
        result=json.loads(result_text) if result_text else None,
        result_preview=preview_of(result) if result is not None and result_text is None else None,
        result_size_bytes=result.size_bytes if result is not None else None,
        created_at=run.created_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
        duration_s=_duration_s(run.started_at, run.finished_at, now),
        cancel_requested_at=run.cancel_requested_at,
        error=_error(run.error),
        stages=[stage_view(stage, live.get(stage.name, _NOTHING_LIVE), now) for stage in stages],
    )


def stage_view(
    stage: StageRecord, live: LiveStage = _NOTHING_LIVE, now: datetime | None = None
) -> StageRun:
    """Return the stage as clients see it."""
    items = None
    if stage.type is StageType.PARAMETERIZED:
        items = Items(
            total=stage.items_total,
            finished=stage.items_finished,
            failed=stage.items_failed,
            running=0 if stage.state.terminal else live.running,
        )
    return StageRun(
        name=stage.name,
        type=stage.type,
        state=stage.state,
        reason=stage.reason,
        attempt=stage.attempt,
        losses=stage.losses,
        items=items,
        progress=live.progress,
        next_at=stage.next_at,
        started_at=stage.started_at,
        finished_at=stage.finished_at,
        duration_s=_duration_s(stage.started_at, stage.finished_at, now),
        inherited=stage.inherited,
        error=_error(stage.error),
        result_preview=preview_of(stage.result) if stage.result is not None else None,
    )


def preview_of(value: ValueRef) -> Any:
    """Return what a value is, in small: its own preview, or its codec, size and length."""
    if value.preview:
        return json.loads(value.preview)
    about = {"codec": value.codec, "size_bytes": value.size_bytes, "length": value.length}
    return {name: content for name, content in about.items() if content is not None}


def item_views(
    total: int, tasks: Iterable[TaskRecord], records: Iterable[ItemRecord], start: int, stop: int
) -> list[Item]:
    """Return the items [start, stop): from finished chunks, overridden by records of their own."""
    by_index = {record.index: record for record in records}
    chunks = [task for task in tasks if task.state == "finished"]
    views = []
    for index in range(start, min(stop, total)):
        chunk = next((c for c in reversed(chunks) if c.start <= index < c.stop), None)
        views.append(_item(index, chunk, by_index.get(index)))
    return views


def _item(index: int, chunk: TaskRecord | None, record: ItemRecord | None) -> Item:
    state = "finished" if chunk is not None else "pending"
    return Item(
        index=index,
        state=record.state if record is not None else state,
        attempt=record.attempt if record is not None else 1,
        error=_error(record.error) if record is not None and record.state != "finished" else None,
        started_at=chunk.started_at if chunk is not None else None,
        finished_at=chunk.finished_at if chunk is not None else None,
    )


def _error(error: ErrorInfo | None) -> RunError | None:
    if error is None:
        return None
    return RunError(
        type=error.type,
        message=error.message,
        traceback=error.traceback,
        stage=error.stage or None,
        index=error.index,
    )


def _duration_s(
    started: datetime | None, finished: datetime | None, now: datetime | None
) -> float | None:
    end = finished or now
    return (end - started).total_seconds() if started and end else None
