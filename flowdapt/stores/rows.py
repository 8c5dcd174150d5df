"""Decide the tables: columns, constraints and indexes. Private to the stores.

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
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TextClause,
    text,
)
from sqlmodel import Field, SQLModel

from flowdapt.domain.fire import DeliveryState, FireState
from flowdapt.domain.run import RunState, StageState
from flowdapt.stores.conditions import ACTIVE_RUN, OPEN_RUN, TERMINAL_RUN, one_of

__all__ = ["metadata", "table"]

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

# Names and prefixes are compared by code point on every database, whatever its locale.
KEY = Text().with_variant(Text(collation="C"), "postgresql")
NUMBER = BigInteger().with_variant(Integer(), "sqlite")


def _check(name: str, column: str, words: list[str]) -> CheckConstraint:
    return CheckConstraint(one_of(column, words), name=name)


def _index(
    name: str, *columns: str | TextClause, where: str | None = None, unique: bool = False
) -> Index:
    condition = None if where is None else text(where)
    return Index(name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def _of_run() -> Column[int]:
    return Column(NUMBER, ForeignKey("run.id", ondelete="CASCADE"), primary_key=True)


class _Row(SQLModel):
    metadata = metadata


class MetaRow(_Row, table=True):
    """Facts about the store itself: incarnation, clean_shutdown."""

    __tablename__ = "meta"
    key: str = Field(primary_key=True, sa_type=KEY)
    value: str = Field(sa_type=Text)


class DocumentRow(_Row, table=True):
    """A text by its digest: definitions and configs are stored once, however many runs froze them."""

    __tablename__ = "document"
    digest: str = Field(primary_key=True, sa_type=KEY)
    body: str = Field(sa_type=Text)
    used_at: int = Field(sa_type=BigInteger)


class ResourceRow(_Row, table=True):
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


class RevisionRow(_Row, table=True):
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


class RunRow(_Row, table=True):
    """A run. Large columns stand last, so that reading the others does not walk over them."""

    __tablename__ = "run"
    __table_args__ = (
        _check("state", "state", [s.value for s in RunState]),
        CheckConstraint(f"({TERMINAL_RUN}) = (finished_at IS NOT NULL)", name="finished_at"),
        CheckConstraint("epoch >= 0 AND next_seq >= 1", name="counters"),
        CheckConstraint(f"owner IS NULL OR ({OPEN_RUN})", name="owner"),
        _index("ix_run_name", "name"),
        _index("ix_run_workflow", "workflow", "id"),
        _index("ix_run_ended", "state", "id", where=TERMINAL_RUN),
        _index("ix_run_started", text("coalesce(started_at, -1)"), "id"),
        _index("ix_run_finished", text("coalesce(finished_at, -1)"), "id"),
        _index("ix_run_duration", text("coalesce(finished_at - started_at, -1)"), "id"),
        _index("ix_run_parent", "parent", where="parent IS NOT NULL"),
        _index("ix_run_rule", "trigger_rule", "state", where="trigger_rule IS NOT NULL"),
        _index(
            "uq_run_idempotency",
            "workflow",
            "idempotency_key",
            where="idempotency_key IS NOT NULL",
            unique=True,
        ),
        _index(
            "ix_run_queue", text("priority DESC"), "id", "workflow", "max_runs", "state",
            where="state = 'queued'",
        ),
        _index("ix_run_open", "workflow", "state", where=OPEN_RUN),
        _index("ix_run_active", "owner", "id", where=ACTIVE_RUN),
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


class StageRow(_Row, table=True):
    """A stage of a run."""

    __tablename__ = "stage"
    __table_args__ = (
        _check("state", "state", [s.value for s in StageState]),
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


class TaskRow(_Row, table=True):
    """One ended attempt of a task; the finished ones of a mapped stage are its checkpoint."""

    __tablename__ = "task"
    __table_args__ = (
        _check("state", "state", ["finished", "failed", "lost", "cancelled"]),
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


class ItemRow(_Row, table=True):
    """An item of a mapped stage that failed or was retried."""

    __tablename__ = "item"
    __table_args__ = (_check("state", "state", ["retrying", "failed", "finished"]),)
    run_id: int = Field(sa_column=_of_run())
    stage: str = Field(primary_key=True, sa_type=KEY)
    idx: int = Field(primary_key=True, sa_type=BigInteger)
    state: str = Field(sa_type=Text)
    attempt: int
    losses: int
    next_at: int | None = Field(sa_type=BigInteger)
    error: bytes | None = Field(sa_type=LargeBinary)


class MetricRow(_Row, table=True):
    """One point of a metric; `idx` is -1 when the stage is not mapped."""

    __tablename__ = "metric"
    run_id: int = Field(sa_column=_of_run())
    stage: str = Field(primary_key=True, sa_type=KEY)
    name: str = Field(primary_key=True, sa_type=KEY)
    idx: int = Field(primary_key=True, sa_type=BigInteger)
    step: int = Field(primary_key=True, sa_type=BigInteger)
    value: float
    time: float


class EventRow(_Row, table=True):
    """One line of the journal."""

    __tablename__ = "event"
    __table_args__ = (
        CheckConstraint("(run_id IS NULL) = (seq IS NULL)", name="seq"),
        _index("uq_event_run", "run_id", "seq", where="run_id IS NOT NULL", unique=True),
        _index("ix_event_time", "time", where="run_id IS NULL"),
        _index("uq_event_id", "id", where="run_id IS NULL", unique=True),
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


class ServiceRow(_Row, table=True):
    """The heartbeat of one service instance."""

    __tablename__ = "service"
    owner: str = Field(primary_key=True, sa_type=KEY)
    beat_at: int = Field(sa_type=BigInteger)
    about: str = Field(sa_type=Text)


class ConsumerRow(_Row, table=True):
    """How far a reader of the journal has come."""

    __tablename__ = "consumer"
    name: str = Field(primary_key=True, sa_type=KEY)
    cursor: int = Field(sa_type=BigInteger)


class RuleStateRow(_Row, table=True):
    """What is known of a trigger rule beside its document; kept when the rule is deleted."""

    __tablename__ = "rule_state"
    rule: str = Field(primary_key=True, sa_type=KEY)
    signature: str = Field(sa_type=Text)
    generation: int = Field(sa_type=BigInteger)
    not_before: int = Field(sa_type=BigInteger)
    last_evaluated_at: int = Field(sa_type=BigInteger)
    paused_at: int | None = Field(sa_type=BigInteger)
    paused_reason: str | None = Field(sa_type=Text)
    failures: int


class FireRow(_Row, table=True):
    """One decision of a trigger rule; a slot and an event are decided once."""

    __tablename__ = "fire"
    __table_args__ = (
        _check("state", "state", [s.value for s in FireState]),
        CheckConstraint("slots >= 1", name="slots"),
        _index(
            "uq_fire_slot", "rule", "generation", "scheduled_at",
            where="scheduled_at IS NOT NULL", unique=True,
        ),
        _index("uq_fire_event", "rule", "event_id", where="event_id IS NOT NULL", unique=True),
        _index("ix_fire_rule", "rule", "id"),
        _index("ix_fire_recent", "rule", "fired_at", where="kind = 'condition'"),
        _index("ix_fire_waiting", "id", where="state = 'waiting'"),
        _index("ix_fire_time", "fired_at"),
        {"sqlite_autoincrement": True},
    )  # fmt: skip
    id: int = Field(primary_key=True, sa_type=NUMBER)
    rule: str = Field(sa_type=KEY)
    generation: int = Field(sa_type=BigInteger)
    kind: str = Field(sa_type=Text)
    scheduled_at: int | None = Field(sa_type=BigInteger)
    event_id: str | None = Field(sa_type=KEY)
    event_cursor: int | None = Field(sa_type=BigInteger)
    state: str = Field(sa_type=Text)
    reason: str | None = Field(sa_type=Text)
    error: str | None = Field(sa_type=Text)
    slots: int = Field(sa_type=BigInteger)
    until: int | None = Field(sa_type=BigInteger)
    fired_at: int = Field(sa_type=BigInteger)
    runs: str = Field(sa_type=Text)


class DeliveryRow(_Row, table=True):
    """An action outside the store, to be done at least once."""

    __tablename__ = "delivery"
    __table_args__ = (
        _check("state", "state", [s.value for s in DeliveryState]),
        _index("ix_delivery_due", "next_at", "id", where="state = 'pending'"),
        _index("ix_delivery_fire", "fire_id"),
        {"sqlite_autoincrement": True},
    )
    id: int = Field(primary_key=True, sa_type=NUMBER)
    fire_id: int = Field(
        sa_column=Column(NUMBER, ForeignKey("fire.id", ondelete="CASCADE"), nullable=False)
    )
    rule: str = Field(sa_type=KEY)
    action: str = Field(sa_type=Text)
    state: str = Field(sa_type=Text)
    attempt: int
    next_at: int = Field(sa_type=BigInteger)
    error: str | None = Field(sa_type=Text)
    parameters: str = Field(sa_type=Text)
    occasion: str = Field(sa_type=Text)


def table(name: str) -> Table:
    """Return a table by name; raise KeyError."""
    return metadata.tables[name]
