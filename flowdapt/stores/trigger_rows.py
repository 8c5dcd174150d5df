"""Decide the tables of triggers: columns, constraints and indexes. Private to the stores, as `rows` are."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Text
from sqlmodel import Field

from flowdapt.domain.fire import DeliveryState, FireState
from flowdapt.stores.rows import table  # these refer to those: whoever has these has all
from flowdapt.stores.tables import KEY, NUMBER, Row, check, index, metadata

__all__ = ["metadata", "table"]


class ConsumerRow(Row, table=True):
    """How far a reader of the journal has come."""

    __tablename__ = "consumer"
    name: str = Field(primary_key=True, sa_type=KEY)
    cursor: int = Field(sa_type=BigInteger)


class RuleStateRow(Row, table=True):
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


class FireRow(Row, table=True):
    """One decision of a trigger rule; a slot and an event are decided once."""

    __tablename__ = "fire"
    __table_args__ = (
        check("state", "state", [s.value for s in FireState]),
        CheckConstraint("slots >= 1", name="slots"),
        index(
            "uq_fire_slot", "rule", "generation", "scheduled_at",
            where="scheduled_at IS NOT NULL", unique=True,
        ),
        index("uq_fire_event", "rule", "event_id", where="event_id IS NOT NULL", unique=True),
        index("ix_fire_rule", "rule", "id"),
        index("ix_fire_recent", "rule", "fired_at", where="kind = 'condition'"),
        index("ix_fire_waiting", "id", where="state = 'waiting'"),
        index("ix_fire_time", "fired_at"),
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


class DeliveryRow(Row, table=True):
    """An action outside the store, to be done at least once."""

    __tablename__ = "delivery"
    __table_args__ = (
        check("state", "state", [s.value for s in DeliveryState]),
        index("ix_delivery_due", "next_at", "id", where="state = 'pending'"),
        index("ix_delivery_fire", "fire_id"),
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
