"""Decide how a run and its stages are told: the events of the journal, and the result of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import msgspec

from flowdapt.domain.events import (
    STAGE_FINISHED,
    STAGE_LOST,
    STAGE_RETRYING,
    WORKFLOW_CANCELLING,
    WORKFLOW_DELETED,
    WORKFLOW_FINISHED,
    WORKFLOW_QUEUED,
    WORKFLOW_STARTED,
    EventDraft,
)
from flowdapt.domain.records import RunRecord, StageRecord
from flowdapt.domain.task import Cancelled, ErrorInfo, Failed, Finished, Lost, Part, ValueRef
from flowdapt.domain.workflow import WorkflowSpec

__all__ = [
    "STAGE_FINISHED",
    "STAGE_RETRYING",
    "TASK_STATES",
    "at_item",
    "at_stage",
    "run_cancelling",
    "run_deleted",
    "run_finished",
    "run_queued",
    "run_result",
    "run_started",
    "stage_event",
    "stage_lost",
]

TASK_STATES = {Finished: "finished", Failed: "failed", Lost: "lost", Cancelled: "cancelled"}
RESULT_IN_EVENT_MAX_BYTES = 32 * 1024
ERROR_IN_EVENT_MAX_CHARS = 1000


_encode = msgspec.json.Encoder().encode


def _json(value: object) -> str:
    return _encode(value).decode()


def at_stage(error: ErrorInfo, stage: str) -> ErrorInfo:
    """Return the error with the stage it belongs to."""
    return error if error.stage == stage else msgspec.structs.replace(error, stage=stage)


def at_item(error: ErrorInfo, index: int) -> ErrorInfo:
    """Return the error with the item it belongs to."""
    return msgspec.structs.replace(error, index=index)


def run_result(spec: WorkflowSpec, stages: Mapping[str, StageRecord]) -> ValueRef | None:
    """Return the result of a finished run: the named stage's, the leaf's, or a mapping of the leaves."""
    if spec.result is not None:
        return stages[spec.result].result
    inner = {dependency for stage in spec.stages for dependency in stage.depends_on}
    leaves = [stage.name for stage in spec.stages if stage.name not in inner]
    values = [stages[name].result for name in leaves]
    if len(leaves) == 1:
        return values[0]
    known = [value for value in values if value is not None]
    if all(value.kind == "inline" and value.codec == "json" for value in known):
        return _join_inline(leaves, known)
    parts = tuple(Part(at, at + 1, value) for at, value in enumerate(known))
    size = sum(value.size_bytes for value in known)
    return ValueRef(kind="mapping", parts=parts, names=tuple(leaves), size_bytes=size)


def _join_inline(names: list[str], values: list[ValueRef]) -> ValueRef:
    pairs = [_encode(name) + b":" + value.data for name, value in zip(names, values, strict=True)]
    data = b"{" + b",".join(pairs) + b"}"
    return ValueRef(kind="inline", data=data, size_bytes=len(data))


def run_started(run: RunRecord) -> EventDraft:
    """Return the event of a run that begins."""
    return _run_event(WORKFLOW_STARTED, run)


def run_queued(run: RunRecord) -> EventDraft:
    """Return the event of a run that waits to be claimed."""
    return _run_event(WORKFLOW_QUEUED, run)


def run_cancelling(run: RunRecord) -> EventDraft:
    """Return the event of a run that is being stopped."""
    return _run_event(WORKFLOW_CANCELLING, run)


def run_deleted(uid: str, workflow: str, reason: str) -> EventDraft:
    """Return the event of a run that is gone, its own events with it: it belongs to no run."""
    data = {"uid": uid, "workflow": workflow, "reason": reason}
    return EventDraft(WORKFLOW_DELETED, f"run/{uid}", _json(data), correlation_id=uid)


def run_finished(run: RunRecord) -> EventDraft:
    """Return the one terminal event of a run."""
    return _run_event(WORKFLOW_FINISHED, run)


def _run_event(kind: str, run: RunRecord) -> EventDraft:
    data = _json(
        {
            "uid": run.uid,
            "name": run.name,
            "workflow": run.workflow,
            "source": run.source,
            "started_at": _iso(run.started_at),
            "finished_at": _iso(run.finished_at),
            "state": run.state.value,
            "reason": run.reason,
            "partial": run.partial,
            "namespace": run.namespace,
            "executor": run.executor,
            "error": _short_error(run.error),
        }
    )
    # The result is spliced in as the text it is: the daemon decodes no values.
    text = f'{data[:-1]},"result": {_small_json(run.result)}}}'
    return EventDraft(
        kind, f"run/{run.uid}", text, correlation_id=run.uid, causation_depth=run.causation_depth
    )


def _small_json(value: ValueRef | None) -> str:
    if value is None or value.size_bytes > RESULT_IN_EVENT_MAX_BYTES:
        return "null"
    if value.kind == "parts":
        return _joined_items(value)
    if value.kind != "inline" or value.codec != "json":
        return "null"
    return value.data.decode() if len(value.data) <= RESULT_IN_EVENT_MAX_BYTES else "null"


def _joined_items(value: ValueRef) -> str:
    """Join the small parts of a mapped result as texts; later parts override earlier ones."""
    items = ["null"] * (value.length or 0)
    for part in value.parts:
        if part.value.kind != "inline" or part.value.codec != "json":
            return "null"
        try:
            texts = msgspec.json.decode(part.value.data, type=list[msgspec.Raw])
        except msgspec.DecodeError:  # no event may keep a run from its end
            return "null"
        if len(texts) != part.stop - part.start or part.stop > len(items):
            return "null"
        items[part.start : part.stop] = [bytes(text).decode() for text in texts]
    return f"[{','.join(items)}]"


def stage_event(kind: str, run: RunRecord, stage: StageRecord) -> EventDraft:
    """Return the event of a stage that ended or waits for its next attempt."""
    data = {
        "run": run.uid,
        "workflow": run.workflow,
        "stage": stage.name,
        "state": stage.state.value,
        "reason": stage.reason,
        "attempt": stage.attempt,
        "losses": stage.losses,
        "error": _short_error(stage.error),
    }
    return EventDraft(
        kind,
        f"run/{run.uid}/{stage.name}",
        _json(data),
        correlation_id=run.uid,
        causation_depth=run.causation_depth,
    )


def stage_lost(run: RunRecord, stage: StageRecord, error: ErrorInfo) -> EventDraft:
    """Return the event of a stage under which a worker or the daemon died; it is tried again."""
    return stage_event(STAGE_LOST, run, replace(stage, error=at_stage(error, stage.name)))


def _short_error(error: ErrorInfo | None) -> dict[str, str] | None:
    if error is None:
        return None
    told = {"type": error.type, "message": error.message, "stage": error.stage}
    return {name: text[:ERROR_IN_EVENT_MAX_CHARS] for name, text in told.items()}


def _iso(when: datetime | None) -> str | None:
    return when.isoformat().replace("+00:00", "Z") if when else None
