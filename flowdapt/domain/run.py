"""Decide what a run is: its states, the one table of allowed changes, what clients see and send.

What a store keeps of a run is `records`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from flowdapt.domain.names import Name
from flowdapt.domain.quantities import DurationS

__all__ = [
    "RUN_TRANSITIONS",
    "STAGE_TRANSITIONS",
    "Item",
    "Items",
    "Reason",
    "RetryRequest",
    "Run",
    "RunRequest",
    "RunState",
    "StageRun",
    "StageState",
    "StageType",
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
# `finished -> pending` is a result that only the executor had, and that went with it: it is made again.
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
    StageState.FINISHED: frozenset({StageState.PENDING}),
    StageState.FAILED: frozenset(),
    StageState.CANCELLED: frozenset(),
    StageState.SKIPPED: frozenset(),
}


def may_become(old: RunState | StageState, new: RunState | StageState) -> bool:
    """Say whether the table allows the change; staying is always allowed for open states."""
    if isinstance(old, RunState):
        return new in RUN_TRANSITIONS[old] or (old == new and not old.terminal)
    return new in STAGE_TRANSITIONS[old] or (old == new and not old.terminal)


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
    trigger_rule: str | None = None
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
