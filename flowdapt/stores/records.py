"""Turn records into rows and back: tuples in the order of the table's columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from flowdapt.domain.events import Event, EventDraft
from flowdapt.domain.records import ItemRecord, RunRecord, StageRecord, TaskRecord
from flowdapt.domain.run import RunState, StageState, StageType
from flowdapt.domain.task import ErrorInfo, MetricPoint, ValueRef

__all__ = [
    "NOTHING",
    "error_blob",
    "event_from_row",
    "event_row",
    "item_from_row",
    "item_row",
    "labels_text",
    "metric_row",
    "micros",
    "moment",
    "moment_or_none",
    "run_from_row",
    "run_row",
    "stage_from_row",
    "stage_patch_row",
    "stage_row",
    "task_from_row",
    "task_row",
    "value_blob",
]

Row = Sequence[Any]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What stands for the input where lists leave it out.
NOTHING = ValueRef(kind="inline")

_encode = msgspec.msgpack.Encoder().encode
_decode_value = msgspec.msgpack.Decoder(ValueRef).decode
_decode_error = msgspec.msgpack.Decoder(ErrorInfo).decode


def micros(when: datetime | None) -> int | None:
    """Return microseconds since 1970 UTC."""
    if when is None:
        return None
    since = when - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def moment(stamp: int) -> datetime:
    """Return the aware instant of a stored stamp."""
    return EPOCH + timedelta(microseconds=stamp)


def moment_or_none(stamp: int | None) -> datetime | None:
    return None if stamp is None else EPOCH + timedelta(microseconds=stamp)


def value_blob(value: ValueRef | None) -> bytes | None:
    return None if value is None else _encode(value)


def error_blob(error: ErrorInfo | None) -> bytes | None:
    return None if error is None else _encode(error)


def _value(blob: bytes | None) -> ValueRef | None:
    return None if blob is None else _decode_value(blob)


def _error(blob: bytes | None) -> ErrorInfo | None:
    return None if blob is None else _decode_error(blob)


def labels_text(labels: dict[str, str]) -> str:
    """Return labels as JSON in which `"key":"value"` can be searched for."""
    if not labels:
        return "{}"
    return json.dumps(labels, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def run_row(run: RunRecord, definition: str, config: str, max_runs: int | None) -> tuple[Any, ...]:
    """Return the row without its id; `definition` and `config` are the digests of the texts."""
    return (
        run.uid, run.name, run.workflow, run.revision, run.state.value, run.source, run.namespace,
        run.executor, definition, config, micros(run.created_at), run.reason, run.partial,
        run.priority, labels_text(run.labels), run.experiment, run.trial, run.parent,
        run.idempotency_key, run.body_digest, run.causation_depth, run.trigger_rule, max_runs,
        run.owner, run.epoch, run.next_seq, micros(run.started_at), micros(run.finished_at),
        micros(run.cancel_requested_at), run.cancel_reason, run.timeout_s, error_blob(run.error),
        _encode(run.input), value_blob(run.result),
    )  # fmt: skip


def run_from_row(row: Row, definition: str = "", config: str = "") -> RunRecord:
    """Return the record of a whole row; without texts it is one for lists."""
    return RunRecord(
        number=row[0], uid=row[1], name=row[2], workflow=row[3], revision=row[4],
        state=RunState(row[5]), source=row[6], namespace=row[7], executor=row[8],
        definition=definition, config=config, created_at=moment(row[11]), reason=row[12],
        partial=bool(row[13]), priority=row[14], labels=json.loads(row[15]), experiment=row[16],
        trial=row[17], parent=row[18], idempotency_key=row[19], body_digest=row[20],
        causation_depth=row[21], trigger_rule=row[22], owner=row[24], epoch=row[25],
        next_seq=row[26], started_at=moment_or_none(row[27]), finished_at=moment_or_none(row[28]),
        cancel_requested_at=moment_or_none(row[29]), cancel_reason=row[30], timeout_s=row[31],
        error=_error(row[32]), input=_value(row[33]) or NOTHING, result=_value(row[34]),
    )  # fmt: skip


def stage_patch_row(stage: StageRecord) -> tuple[Any, ...]:
    """Return what a change of a stage writes."""
    return (
        stage.state.value, stage.reason, stage.attempt, stage.losses, stage.recoveries,
        micros(stage.next_at), micros(stage.started_at), micros(stage.finished_at),
        stage.items_total, stage.items_finished, stage.items_failed, stage.inherited,
        error_blob(stage.error), value_blob(stage.result),
    )  # fmt: skip


def stage_row(run_id: int, stage: StageRecord) -> tuple[Any, ...]:
    return (run_id, stage.position, stage.name, stage.type.value, *stage_patch_row(stage))


def stage_from_row(row: Row) -> StageRecord:
    return StageRecord(
        position=row[1], name=row[2], type=StageType(row[3]), state=StageState(row[4]),
        reason=row[5], attempt=row[6], losses=row[7], recoveries=row[8],
        next_at=moment_or_none(row[9]), started_at=moment_or_none(row[10]),
        finished_at=moment_or_none(row[11]), items_total=row[12], items_finished=row[13],
        items_failed=row[14], inherited=bool(row[15]), error=_error(row[16]), result=_value(row[17]),
    )  # fmt: skip


def task_row(run_id: int, epoch: int, task: TaskRecord) -> tuple[Any, ...]:
    return (
        run_id, task.stage, task.start, task.attempt, task.stop, epoch, task.state,
        micros(task.started_at), micros(task.finished_at), task.reason, task.worker_pid,
        error_blob(task.error), value_blob(task.value),
    )  # fmt: skip


def task_from_row(row: Row) -> TaskRecord:
    return TaskRecord(
        stage=row[1], start=row[2], attempt=row[3], stop=row[4], state=row[6],
        started_at=moment(row[7]), finished_at=moment(row[8]), reason=row[9], worker_pid=row[10],
        error=_error(row[11]), value=_value(row[12]),
    )  # fmt: skip


def item_row(run_id: int, item: ItemRecord) -> tuple[Any, ...]:
    return (
        run_id, item.stage, item.index, item.state, item.attempt, item.losses,
        micros(item.next_at), error_blob(item.error),
    )  # fmt: skip


def item_from_row(row: Row) -> ItemRecord:
    return ItemRecord(
        stage=row[1], index=row[2], state=row[3], attempt=row[4], losses=row[5],
        next_at=moment_or_none(row[6]), error=_error(row[7]),
    )  # fmt: skip


def metric_row(run_id: int, stage: str, point: MetricPoint) -> tuple[Any, ...]:
    index = -1 if point.index is None else point.index
    return (run_id, stage, point.name, index, point.step, point.value, point.time)


def event_row(
    draft: EventDraft, ident: str, time: int, run_id: int | None, seq: int | None
) -> tuple[Any, ...]:
    """Return the row without its cursor."""
    return (
        ident, time, draft.type, draft.source, draft.subject, run_id, seq, draft.correlation_id,
        draft.causation_depth, draft.data,
    )  # fmt: skip


def event_from_row(row: Row) -> Event:
    """Return an event of a row whose `run_id` was replaced by the run's uid."""
    return Event(
        cursor=row[0], id=row[1], time=moment(row[2]), type=row[3], source=row[4], subject=row[5],
        run=row[6], seq=row[7], correlation_id=row[8], causation_depth=row[9],
        data=json.loads(row[10]),
    )  # fmt: skip
