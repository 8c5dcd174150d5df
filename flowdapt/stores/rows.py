"""Decide the tables of resources, runs and the journal: columns, constraints and indexes. Private to the stores.

The rows are declared for the schema (and alembic) alone: statements are built from the tables and
no ORM session is ever opened; what SQLite needs of them is in `prepared`. Times are integer
microseconds UTC, states text under a CHECK.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    LargeBinary,
    Text,
    text,
)
from sqlmodel import Field

from flowdapt.domain.run import RunState, StageState
from flowdapt.stores.conditions import ACTIVE_RUN, OPEN_RUN, TERMINAL_RUN
from flowdapt.stores.tables import KEY, NUMBER, Row, check, index, table

__all__ = ["table"]


def _of_run() -> Column[int]:
    return Column(NUMBER, ForeignKey("run.id", ondelete="CASCADE"), primary_key=True)


class MetaRow(Row, table=True):
    """Facts about the store itself: incarnation, clean_shutdown."""

    __tablename__ = "meta"
    key: str = Field(primary_key=True, sa_type=KEY)
    value: str = Field(sa_type=Text)


class DocumentRow(Row, table=True):
    """A text by its digest: definitions and configs are stored once, however many runs froze them."""

    __tablename__ = "document"
    digest: str = Field(primary_key=True, sa_type=KEY)
    body: str = Field(sa_type=Text)
    used_at: int = Field(sa_type=BigInteger)


class ResourceRow(Row, table=True):
    """The current state of a resource."""

    __tablename__ = "resource"
    __table_args__ = (CheckConstraint("revision >= 1", name="revision"),)
    kind: str = Field(primary_key=True, sa_type=KEY)
    name: str = Field(primary_key=True, sa_type=KEY)
    uid: str = Field(sa_type=Text)
    revision: int = Field(sa_type=BigInteger)
    created_at: int = Field(sa_type=BigInteger)
    updated_at: int = Field(sa_type=BigInteger)
    annotations: str = Field(sa_type=Text)
    digest: str = Field(sa_type=Text)


class RevisionRow(Row, table=True):
    """One revision of a resource, the current one included."""

    __tablename__ = "resource_revision"
    __table_args__ = (
        ForeignKeyConstraint(
            ["kind", "name"], ["resource.kind", "resource.name"], ondelete="CASCADE"
        ),
    )
    kind: str = Field(primary_key=True, sa_type=KEY)
    name: str = Field(primary_key=True, sa_type=KEY)
    revision: int = Field(primary_key=True, sa_type=BigInteger)
    updated_at: int = Field(sa_type=BigInteger)
    annotations: str = Field(sa_type=Text)
    digest: str = Field(sa_type=Text)


class RunRow(Row, table=True):
    """A run. Large columns stand last, so that reading the others does not walk over them."""

    __tablename__ = "run"
    __table_args__ = (
        check("state", "state", [s.value for s in RunState]),
        CheckConstraint(f"({TERMINAL_RUN}) = (finished_at IS NOT NULL)", name="finished_at"),
        CheckConstraint("epoch >= 0 AND next_seq >= 1", name="counters"),
        CheckConstraint(f"owner IS NULL OR ({OPEN_RUN})", name="owner"),
        index("ix_run_name", "name"),
        index("ix_run_workflow", "workflow", "id"),
        index("ix_run_ended", "state", "id", where=TERMINAL_RUN),
        index("ix_run_started", text("coalesce(started_at, -1)"), "id"),
        index("ix_run_finished", text("coalesce(finished_at, -1)"), "id"),
        index("ix_run_duration", text("coalesce(finished_at - started_at, -1)"), "id"),
        index("ix_run_parent", "parent", where="parent IS NOT NULL"),
        index("ix_run_rule", "trigger_rule", "state", where="trigger_rule IS NOT NULL"),
        index(
            "uq_run_idempotency",
            "workflow",
            "idempotency_key",
            where="idempotency_key IS NOT NULL",
            unique=True,
        ),
        index(
            "ix_run_queue", text("priority DESC"), "id", "workflow", "max_runs", "state",
            where="state = 'queued'",
        ),
        index("ix_run_open", "workflow", "state", where=OPEN_RUN),
        index("ix_run_active", "owner", "id", where=ACTIVE_RUN),
        {"sqlite_autoincrement": True},
    )  # fmt: skip
    id: int = Field(primary_key=True, sa_type=NUMBER)
    uid: str = Field(sa_type=KEY, unique=True)
    name: str = Field(sa_type=KEY)
    workflow: str = Field(sa_type=KEY)
    revision: int = Field(sa_type=BigInteger)
    state: str = Field(sa_type=Text)
    source: str = Field(sa_type=Text)
    namespace: str = Field(sa_type=Text)
    executor: str = Field(sa_type=Text)
    definition: str = Field(sa_type=Text)
    config: str = Field(sa_type=Text)
    created_at: int = Field(sa_type=BigInteger)
    reason: str | None = Field(sa_type=Text)
    partial: bool
    priority: int = Field(sa_type=BigInteger)
    labels: str = Field(sa_type=Text)
    experiment: str | None = Field(sa_type=Text)
    trial: int | None = Field(sa_type=BigInteger)
    parent: str | None = Field(sa_type=Text)
    idempotency_key: str | None = Field(sa_type=Text)
    body_digest: str | None = Field(sa_type=Text)
    causation_depth: int
    trigger_rule: str | None = Field(sa_type=KEY)
    max_runs: int | None = Field(sa_type=BigInteger)
    owner: str | None = Field(sa_type=Text)
    epoch: int = Field(sa_type=BigInteger)
    next_seq: int = Field(sa_type=BigInteger)
    started_at: int | None = Field(sa_type=BigInteger)
    finished_at: int | None = Field(sa_type=BigInteger)
    cancel_requested_at: int | None = Field(sa_type=BigInteger)
    cancel_reason: str | None = Field(sa_type=Text)
    timeout_s: float | None
    error: bytes | None = Field(sa_type=LargeBinary)
    input: bytes = Field(sa_type=LargeBinary)
    result: bytes | None = Field(sa_type=LargeBinary)


class StageRow(Row, table=True):
    """A stage of a run."""

    __tablename__ = "stage"
    __table_args__ = (
        check("state", "state", [s.value for s in StageState]),
        CheckConstraint("attempt >= 0 AND losses >= 0 AND recoveries >= 0", name="counters"),
    )
    run_id: int = Field(sa_column=_of_run())
    position: int = Field(primary_key=True)
    name: str = Field(sa_type=Text)
    type: str = Field(sa_type=Text)
    state: str = Field(sa_type=Text)
    reason: str | None = Field(sa_type=Text)
    attempt: int
    losses: int
    recoveries: int
    next_at: int | None = Field(sa_type=BigInteger)
    started_at: int | None = Field(sa_type=BigInteger)
    finished_at: int | None = Field(sa_type=BigInteger)
    items_total: int | None = Field(sa_type=BigInteger)
    items_finished: int = Field(sa_type=BigInteger)
    items_failed: int = Field(sa_type=BigInteger)
    inherited: bool
    error: bytes | None = Field(sa_type=LargeBinary)
    result: bytes | None = Field(sa_type=LargeBinary)


class TaskRow(Row, table=True):
    """One ended attempt of a task; the finished ones of a mapped stage are its checkpoint."""

    __tablename__ = "task"
    __table_args__ = (
        check("state", "state", ["finished", "failed", "lost", "cancelled"]),
        CheckConstraint("start >= 0 AND stop >= start", name="range"),
    )
    run_id: int = Field(sa_column=_of_run())
    stage: str = Field(primary_key=True, sa_type=KEY)
    start: int = Field(primary_key=True, sa_type=BigInteger)
    attempt: int = Field(primary_key=True)
    stop: int = Field(primary_key=True, sa_type=BigInteger)
    epoch: int = Field(primary_key=True, sa_type=BigInteger)
    state: str = Field(primary_key=True, sa_type=KEY)
    started_at: int = Field(sa_type=BigInteger)
    finished_at: int = Field(sa_type=BigInteger)
    reason: str | None = Field(sa_type=Text)
    worker_pid: int = Field(sa_type=BigInteger)
    error: bytes | None = Field(sa_type=LargeBinary)
    value: bytes | None = Field(sa_type=LargeBinary)


class ItemRow(Row, table=True):
    """An item of a mapped stage that failed or was retried."""

    __tablename__ = "item"
    __table_args__ = (check("state", "state", ["retrying", "failed", "finished"]),)
    run_id: int = Field(sa_column=_of_run())
    stage: str = Field(primary_key=True, sa_type=KEY)
    idx: int = Field(primary_key=True, sa_type=BigInteger)
    state: str = Field(sa_type=Text)
    attempt: int
    losses: int
    next_at: int | None = Field(sa_type=BigInteger)
    error: bytes | None = Field(sa_type=LargeBinary)


class MetricRow(Row, table=True):
    """One point of a metric; `idx` is -1 when the stage is not mapped."""

    __tablename__ = "metric"
    run_id: int = Field(sa_column=_of_run())
    stage: str = Field(primary_key=True, sa_type=KEY)
    name: str = Field(primary_key=True, sa_type=KEY)
    idx: int = Field(primary_key=True, sa_type=BigInteger)
    step: int = Field(primary_key=True, sa_type=BigInteger)
    value: float
    time: float


class EventRow(Row, table=True):
    """One line of the journal."""

    __tablename__ = "event"
    __table_args__ = (
        CheckConstraint("(run_id IS NULL) = (seq IS NULL)", name="seq"),
        index("uq_event_run", "run_id", "seq", where="run_id IS NOT NULL", unique=True),
        index("ix_event_time", "time", where="run_id IS NULL"),
        index("uq_event_id", "id", where="run_id IS NULL", unique=True),
        {"sqlite_autoincrement": True},
    )
    cursor: int = Field(primary_key=True, sa_type=NUMBER)
    id: str = Field(sa_type=Text)
    time: int = Field(sa_type=BigInteger)
    type: str = Field(sa_type=KEY)
    source: str = Field(sa_type=Text)
    subject: str = Field(sa_type=Text)
    run_id: int | None = Field(sa_column=Column(NUMBER, ForeignKey("run.id", ondelete="CASCADE")))
    seq: int | None = Field(sa_type=BigInteger)
    correlation_id: str | None = Field(sa_type=Text)
    causation_depth: int
    data: str = Field(sa_type=Text)


class ServiceRow(Row, table=True):
    """The heartbeat of one service instance."""

    __tablename__ = "service"
    owner: str = Field(primary_key=True, sa_type=KEY)
    beat_at: int = Field(sa_type=BigInteger)
    about: str = Field(sa_type=Text)
