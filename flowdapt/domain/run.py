"""Decide what a run is: its states, the one table of allowed changes, its records and its wire form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from flowdapt.domain.names import Name
from flowdapt.domain.quantities import DurationS
from flowdapt.domain.task import ErrorInfo, MetricPoint, ValueRef

__all__ = [
    "RUN_TRANSITIONS",
    "STAGE_TRANSITIONS",
    "EventDraft",
    "Item",
    "ItemRecord",
    "Items",
    "NewRun",
    "Reason",
    "RetryRequest",
    "Run",
    "RunChange",
    "RunPatch",
    "RunRecord",
    "RunRequest",
    "RunState",
    "StagePatch",
    "StageRecord",
    "StageRun",
    "StageState",
    "StageType",
    "Submission",
    "TaskRecord",
    "may_become",
]


class RunState(StrEnum):
    """Where a run is in its life; `RUN_TRANSITIONS` says what may follow."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        return self in _TERMINAL_RUN


class StageState(StrEnum):
    """Where a stage of a run is; `STAGE_TRANSITIONS` says what may follow."""

    PENDING = "pending"
    RUNNING = "running"
    RETRYING = "retrying"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"

    @property
    def terminal(self) -> bool:
        return self in _TERMINAL_STAGE


class StageType(StrEnum):
    """Whether a stage is one call, or one call for each item of a list."""

    SIMPLE = "simple"
    PARAMETERIZED = "parameterized"


_TERMINAL_RUN = frozenset({RunState.FINISHED, RunState.FAILED, RunState.CANCELLED})
_TERMINAL_STAGE = frozenset(
    {StageState.FINISHED, StageState.FAILED, StageState.CANCELLED, StageState.SKIPPED}
)

# A run whose owner dies or drains stays `running`: it only changes owner. A terminal run never changes.
RUN_TRANSITIONS: Mapping[RunState, frozenset[RunState]] = {
    RunState.QUEUED: frozenset({RunState.RUNNING, RunState.FAILED, RunState.CANCELLED}),
    RunState.RUNNING: frozenset(
        {RunState.FINISHED, RunState.FAILED, RunState.CANCELLING, RunState.CANCELLED}
    ),
    RunState.CANCELLING: frozenset({RunState.CANCELLED, RunState.FINISHED, RunState.FAILED}),
    RunState.FINISHED: frozenset(),
    RunState.FAILED: frozenset(),
    RunState.CANCELLED: frozenset(),
}

# `running -> pending` is a stage that was drained: it waits for the next owner, nothing counted.
# `pending -> finished` and `pending -> failed` are a start and an end folded into one write.
STAGE_TRANSITIONS: Mapping[StageState, frozenset[StageState]] = {
    StageState.PENDING: frozenset(StageState) - {StageState.PENDING},
    StageState.RUNNING: frozenset(StageState) - {StageState.SKIPPED, StageState.RUNNING},
    StageState.RETRYING: frozenset(
        {
            StageState.RUNNING,
            StageState.FINISHED,
            StageState.FAILED,
            StageState.CANCELLED,
            StageState.PENDING,
        }
    ),
    StageState.FINISHED: frozenset(),
    StageState.FAILED: frozenset(),
    StageState.CANCELLED: frozenset(),
    StageState.SKIPPED: frozenset(),
}


def may_become(old: RunState | StageState, new: RunState | StageState) -> bool:
    """Say whether the table allows the change; staying is always allowed for open states."""
    if isinstance(old, RunState):
        return new in RUN_TRANSITIONS[old] or (old == new and not old.terminal)
    return new in STAGE_TRANSITIONS[old] or (old == new and not old.terminal)


# --- what stores keep -----------------------------------------------------------------------------


@dataclass(slots=True)
class RunRecord:
    """A run as a store gives it to its owner and to the API. `number` orders runs, times do not.

    `definition` and `config` are JSON texts frozen at submission (`definition` is the workflow's
    `spec`, canonical form). `executor` is the name of the executor profile it is pinned to.
    """

    uid: str
    name: str
    workflow: str
    revision: int
    state: RunState
    source: str
    namespace: str
    executor: str
    definition: str
    config: str
    input: ValueRef
    created_at: datetime
    number: int = 0
    reason: str | None = None
    partial: bool = False
    priority: int = 0
    labels: dict[str, str] = field(default_factory=dict)
    experiment: str | None = None
    trial: int | None = None
    parent: str | None = None
    idempotency_key: str | None = None
    body_digest: str | None = None
    causation_depth: int = 0
    owner: str | None = None
    epoch: int = 0
    next_seq: int = 1
    started_at: datetime | None = None
    finished_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    cancel_reason: str | None = None
    timeout_s: float | None = None
    result: ValueRef | None = None
    error: ErrorInfo | None = None


@dataclass(slots=True)
class StageRecord:
    """A stage of a run. `position` is its place in the definition.

    `attempt` counts tries of user code, `losses` workers that died under it, `recoveries` daemon
    deaths. `next_at` is the stored instant of the next retry. `inherited` marks a result taken over
    from the parent run by a retry.
    """

    name: str
    position: int
    type: StageType
    state: StageState = StageState.PENDING
    reason: str | None = None
    attempt: int = 0
    losses: int = 0
    recoveries: int = 0
    next_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    items_total: int | None = None
    items_finished: int = 0
    items_failed: int = 0
    inherited: bool = False
    result: ValueRef | None = None
    error: ErrorInfo | None = None

    def __copy__(self) -> StageRecord:
        """Return a copy; one is taken at every step, and the general way is five times as slow."""
        new = object.__new__(StageRecord)
        for name in self.__slots__:
            setattr(new, name, getattr(self, name))
        return new


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """One ended attempt: of a simple stage (start 0, stop 1), or of the items [start, stop).

    Unique: (run, stage, start, stop, attempt, epoch, state). `state` is finished, failed, lost or
    cancelled. Only finished ones carry a value; those of a mapped stage are its checkpoint.
    """

    stage: str
    start: int
    stop: int
    attempt: int
    state: str
    started_at: datetime
    finished_at: datetime
    reason: str | None = None
    worker_pid: int = 0
    value: ValueRef | None = None
    error: ErrorInfo | None = None


@dataclass(frozen=True, slots=True)
class ItemRecord:
    """An item that failed, is to be retried, or was retried. Unique (run, stage, index); upserted.

    `state` is retrying, failed or finished.
    """

    stage: str
    index: int
    state: str
    attempt: int
    losses: int = 0
    next_at: datetime | None = None
    error: ErrorInfo | None = None


@dataclass(frozen=True, slots=True)
class EventDraft:
    """A past-tense fact to be written with the change that it tells of; the store numbers it.

    `data` is JSON text of at most 64 KiB.
    """

    type: str
    subject: str
    data: str
    source: str = "flowdapt"
    correlation_id: str | None = None
    causation_depth: int = 0


@dataclass(frozen=True, slots=True)
class RunPatch:
    """New values of a run's own columns. Every field is written as it stands here."""

    state: RunState
    reason: str | None = None
    partial: bool = False
    started_at: datetime | None = None
    finished_at: datetime | None = None
    result: ValueRef | None = None
    error: ErrorInfo | None = None
    release_owner: bool = False


# A stage is always written whole: its record is small and there is no partial state to get wrong.
StagePatch = StageRecord


@dataclass(slots=True)
class RunChange:
    """Everything one step of a run writes, in one transaction, if `epoch` still owns the run."""

    uid: str
    epoch: int
    run: RunPatch | None = None
    stages: list[StagePatch] = field(default_factory=list)
    tasks: list[TaskRecord] = field(default_factory=list)
    items: list[ItemRecord] = field(default_factory=list)
    events: list[EventDraft] = field(default_factory=list)
    metrics: list[tuple[str, MetricPoint]] = field(default_factory=list)
    # The first `seq` of `events`; the owner counts, so that seq is gapless per run.
    first_seq: int = 0

    @property
    def durable(self) -> bool:
        """Terminal states and owner changes survive power loss; progress may be run again."""
        return self.run is not None

    @property
    def empty(self) -> bool:
        return not (
            self.run or self.stages or self.tasks or self.items or self.events or self.metrics
        )


@dataclass(slots=True)
class NewRun:
    """A run to be stored with all its stages and its first event, in one transaction."""

    run: RunRecord
    stages: list[StageRecord]
    events: list[EventDraft]
    # Taken over from the parent by a retry: checkpoints of mapped stages, and which items are due.
    tasks: list[TaskRecord] = field(default_factory=list)
    items: list[ItemRecord] = field(default_factory=list)
    max_queued: int = 10_000
    # The workflow's own limit, checked in the same transaction (None: no limit).
    max_runs: int | None = None
    when_full: str = "queue"


@dataclass(frozen=True, slots=True)
class Submission:
    """What became of a NewRun. `created` is False when the idempotency key named an old run."""

    run: RunRecord
    stages: list[StageRecord]
    created: bool


# --- what clients see -----------------------------------------------------------------------------


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class RunError(_Wire):
    """Why a run or a stage failed."""

    type: str
    message: str
    traceback: str = ""
    stage: str | None = None
    index: int | None = None


class Items(_Wire):
    """How far a mapped stage is."""

    total: int | None = None
    finished: int = 0
    failed: int = 0
    running: int = 0


class StageRun(_Wire):
    """One stage of one run. Times are aware UTC, durations seconds."""

    name: str
    type: StageType
    state: StageState
    reason: str | None = None
    attempt: int = 0
    losses: int = 0
    items: Items | None = None
    progress: tuple[float, float | None] | None = None
    next_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duration_s: float | None = None
    inherited: bool = False
    error: RunError | None = None
    result_preview: Any = None


class Run(_Wire):
    """One execution of one revision of a workflow, as `GET /runs/{id}` gives it.

    `result` is there when it is JSON and small; else `result_preview` says what it is and
    `/result` streams it.
    """

    uid: str
    name: str
    workflow: str
    revision: int
    state: RunState
    reason: str | None = None
    partial: bool = False
    source: str = "api"
    executor: str = "local"
    namespace: str = "default"
    priority: int = 0
    labels: dict[str, str] = {}
    experiment: str | None = None
    trial: int | None = None
    parent: str | None = None
    input: Any = None
    result: Any = None
    result_preview: Any = None
    result_size_bytes: int | None = None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duration_s: float | None = None
    cancel_requested_at: datetime | None = None
    error: RunError | None = None
    stages: list[StageRun] = []


# --- what clients send ----------------------------------------------------------------------------


class RunRequest(BaseModel):
    """The body of a submission. Everything the server owns is refused (`extra=forbid`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: dict[str, Any] = Field(default_factory=dict)
    executor: Name | None = None
    namespace: Name = "default"
    labels: dict[str, str] = Field(default_factory=dict, max_length=64)
    priority: int | None = Field(default=None, ge=-1_000_000, le=1_000_000)
    timeout: DurationS | None = None


class RetryRequest(BaseModel):
    """The body of a retry: a new run whose finished stages are taken over from the parent.

    `start_from`: `failed` (keep every finished stage), `start` (keep none), or a stage's name
    (that stage and all that depends on it run again). An edited `input` re-runs from the start
    unless `start_from` says otherwise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    start_from: str | None = None
    input: dict[str, Any] | None = None
    executor: Name | None = None
    labels: dict[str, str] | None = None


class Item(BaseModel):
    """One item of a mapped stage, derived from its chunks and its own record."""

    model_config = ConfigDict(frozen=True)

    index: int
    state: str
    attempt: int = 1
    error: RunError | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


class Reason(BaseModel):
    """One sentence of `why`: what holds a run or stage, or ended it, and the way out."""

    model_config = ConfigDict(frozen=True)

    subject: str
    code: str
    message: str
    fix: str | None = None
