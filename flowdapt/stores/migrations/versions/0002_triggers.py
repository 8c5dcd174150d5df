"""Add what triggers keep: rule states, fires, deliveries, readers of the journal, a run's rule."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("run", sa.Column("trigger_rule", KEY, nullable=True))
    _index("ix_run_rule", "run", "trigger_rule", "state", where="trigger_rule IS NOT NULL")
    _index("uq_event_id", "event", "id", where="run_id IS NULL", unique=True)
    op.create_table(
        "consumer",
        sa.Column("name", KEY, nullable=False),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_consumer")),
    )
    op.create_table(
        "rule_state",
        sa.Column("rule", KEY, nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("last_evaluated_at", sa.BigInteger(), nullable=False),
        sa.Column("paused_at", sa.BigInteger(), nullable=True),
        sa.Column("paused_reason", sa.Text(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("rule", name=op.f("pk_rule_state")),
    )
    _create_fire()
    _create_delivery()


def _create_fire() -> None:
    op.create_table(
        "fire",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("rule", KEY, nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("scheduled_at", sa.BigInteger(), nullable=True),
        sa.Column("event_id", KEY, nullable=True),
        sa.Column("event_cursor", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("slots", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("fired_at", sa.BigInteger(), nullable=False),
        sa.Column("runs", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "state IN ('started', 'waiting', 'skipped', 'missed', 'failed')",
            name=op.f("ck_fire_state"),
        ),
        sa.CheckConstraint("slots >= 1", name=op.f("ck_fire_slots")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fire")),
        sqlite_autoincrement=True,
    )
    slot = ("rule", "generation", "scheduled_at")
    _index("uq_fire_slot", "fire", *slot, where="scheduled_at IS NOT NULL", unique=True)
    _index("uq_fire_event", "fire", "rule", "event_id", where="event_id IS NOT NULL", unique=True)
    _index("ix_fire_rule", "fire", "rule", "id")
    _index("ix_fire_recent", "fire", "rule", "fired_at", where="kind = 'condition'")
    _index("ix_fire_waiting", "fire", "id", where="state = 'waiting'")
    _index("ix_fire_time", "fire", "fired_at")


def _create_delivery() -> None:
    op.create_table(
        "delivery",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("fire_id", NUMBER, nullable=False),
        sa.Column("rule", KEY, nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("occasion", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "state IN ('pending', 'delivered', 'failed')", name=op.f("ck_delivery_state")
        ),
        sa.ForeignKeyConstraint(
            ["fire_id"], ["fire.id"], name=op.f("fk_delivery_fire"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
        sqlite_autoincrement=True,
    )
    _index("ix_delivery_due", "delivery", "next_at", "id", where="state = 'pending'")
    _index("ix_delivery_fire", "delivery", "fire_id")


def _index(
    name: str, table: str, *columns: str, where: str | None = None, unique: bool = False
) -> None:
    condition = None if where is None else sa.text(where)
    op.create_index(
        op.f(name),
        table,
        list(columns),
        unique=unique,
        sqlite_where=condition,
        postgresql_where=condition,
    )
