"""Decide what a store keeps of a run, and the changes that its owner asks the store to write."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from flowdapt.domain.events import EventDraft
from flowdapt.domain.run import RunState, StageState, StageType
from flowdapt.domain.task import ErrorInfo, MetricPoint, ValueRef

__all__ = [
    "ItemRecord",
    "NewRun",
    "RunChange",
    "RunPatch",
    "RunRecord",
    "StagePatch",
    "StageRecord",
    "Submission",
    "TaskRecord",
]


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
    trigger_rule: str | None = None
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
