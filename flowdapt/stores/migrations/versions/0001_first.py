"""Make the first schema: resources, runs, journal."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "document",
        sa.Column("digest", KEY, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_document")),
    )
    op.create_table(
        "meta",
        sa.Column("key", KEY, nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_meta")),
    )
    op.create_table(
        "resource",
        sa.Column("kind", KEY, nullable=False),
        sa.Column("name", KEY, nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("annotations", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.CheckConstraint("revision >= 1", name=op.f("ck_resource_revision")),
        sa.PrimaryKeyConstraint("kind", "name", name=op.f("pk_resource")),
    )
    op.create_table(
        "run",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("uid", KEY, nullable=False),
        sa.Column("name", KEY, nullable=False),
        sa.Column("workflow", KEY, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("executor", sa.Text(), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("config", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("partial", sa.Boolean(), nullable=False),
        sa.Column("priority", sa.BigInteger(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("experiment", sa.Text(), nullable=True),
        sa.Column("trial", sa.BigInteger(), nullable=True),
        sa.Column("parent", sa.Text(), nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("body_digest", sa.Text(), nullable=True),
        sa.Column("causation_depth", sa.Integer(), nullable=False),
        sa.Column("max_runs", sa.BigInteger(), nullable=True),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("next_seq", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("cancel_requested_at", sa.BigInteger(), nullable=True),
        sa.Column("cancel_reason", sa.Text(), nullable=True),
        sa.Column("timeout_s", sa.Float(), nullable=True),
        sa.Column("error", sa.LargeBinary(), nullable=True),
        sa.Column("input", sa.LargeBinary(), nullable=False),
        sa.Column("result", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint(
            "(state IN ('finished', 'failed', 'cancelled')) = (finished_at IS NOT NULL)",
            name=op.f("ck_run_finished_at"),
        ),
        sa.CheckConstraint(
            "owner IS NULL OR (state IN ('queued', 'running', 'cancelling'))",
            name=op.f("ck_run_owner"),
        ),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'cancelling', 'finished', 'failed', 'cancelled')",
            name=op.f("ck_run_state"),
        ),
        sa.CheckConstraint("epoch >= 0 AND next_seq >= 1", name=op.f("ck_run_counters")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
        sa.UniqueConstraint("uid", name=op.f("uq_run_uid")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_run_active",
        "run",
        ["owner", "id"],
        sqlite_where=sa.text("state IN ('running', 'cancelling')"),
        postgresql_where=sa.text("state IN ('running', 'cancelling')"),
    )
    op.create_index(
        "ix_run_ended",
        "run",
        ["state", "id"],
        sqlite_where=sa.text("state IN ('finished', 'failed', 'cancelled')"),
        postgresql_where=sa.text("state IN ('finished', 'failed', 'cancelled')"),
    )
    op.create_index(
        "ix_run_duration", "run", [sa.text("coalesce(finished_at - started_at, -1)"), "id"]
    )
    op.create_index("ix_run_finished", "run", [sa.text("coalesce(finished_at, -1)"), "id"])
    op.create_index("ix_run_started", "run", [sa.text("coalesce(started_at, -1)"), "id"])
    op.create_index(
        "ix_run_queue",
        "run",
        [sa.text("priority DESC"), "id", "workflow", "max_runs", "state"],
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_index("ix_run_name", "run", ["name"])
    op.create_index(
        "ix_run_open",
        "run",
        ["workflow", "state"],
        sqlite_where=sa.text("state IN ('queued', 'running', 'cancelling')"),
        postgresql_where=sa.text("state IN ('queued', 'running', 'cancelling')"),
    )
    op.create_index(
        "ix_run_parent",
        "run",
        ["parent"],
        sqlite_where=sa.text("parent IS NOT NULL"),
        postgresql_where=sa.text("parent IS NOT NULL"),
    )
    op.create_index(
        "ix_run_workflow",
        "run",
        ["workflow", "id"],
    )
    op.create_index(
        "uq_run_idempotency",
        "run",
        ["workflow", "idempotency_key"],
        unique=True,
        sqlite_where=sa.text("idempotency_key IS NOT NULL"),
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    )
    op.create_table(
        "service",
        sa.Column("owner", KEY, nullable=False),
        sa.Column("beat_at", sa.BigInteger(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("owner", name=op.f("pk_service")),
    )
    op.create_table(
        "event",
        sa.Column("cursor", NUMBER, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("type", KEY, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("run_id", NUMBER, nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("correlation_id", sa.Text(), nullable=True),
        sa.Column("causation_depth", sa.Integer(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.CheckConstraint("(run_id IS NULL) = (seq IS NULL)", name=op.f("ck_event_seq")),
        sa.ForeignKeyConstraint(
            ["run_id"], ["run.id"], name=op.f("fk_event_run"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("cursor", name=op.f("pk_event")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_event_time",
        "event",
        ["time"],
        sqlite_where=sa.text("run_id IS NULL"),
        postgresql_where=sa.text("run_id IS NULL"),
    )
    op.create_index(
        "uq_event_run",
        "event",
        ["run_id", "seq"],
        unique=True,
        sqlite_where=sa.text("run_id IS NOT NULL"),
        postgresql_where=sa.text("run_id IS NOT NULL"),
    )
    op.create_table(
        "item",
        sa.Column("run_id", NUMBER, nullable=False),
        sa.Column("stage", KEY, nullable=False),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("losses", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint(
            "state IN ('retrying', 'failed', 'finished')", name=op.f("ck_item_state")
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["run.id"], name=op.f("fk_item_run"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "stage", "idx", name=op.f("pk_item")),
    )
    op.create_table(
        "metric",
        sa.Column("run_id", NUMBER, nullable=False),
        sa.Column("stage", KEY, nullable=False),
        sa.Column("name", KEY, nullable=False),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("time", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["run.id"], name=op.f("fk_metric_run"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "stage", "name", "idx", "step", name=op.f("pk_metric")),
    )
    op.create_table(
        "resource_revision",
        sa.Column("kind", KEY, nullable=False),
        sa.Column("name", KEY, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("annotations", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["kind", "name"],
            ["resource.kind", "resource.name"],
            name=op.f("fk_resource_revision_resource"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("kind", "name", "revision", name=op.f("pk_resource_revision")),
    )
    op.create_table(
        "stage",
        sa.Column("run_id", NUMBER, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("losses", sa.Integer(), nullable=False),
        sa.Column("recoveries", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("items_total", sa.BigInteger(), nullable=True),
        sa.Column("items_finished", sa.BigInteger(), nullable=False),
        sa.Column("items_failed", sa.BigInteger(), nullable=False),
        sa.Column("inherited", sa.Boolean(), nullable=False),
        sa.Column("error", sa.LargeBinary(), nullable=True),
        sa.Column("result", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint(
            "state IN ('pending', 'running', 'retrying', 'finished', 'failed', 'cancelled', 'skipped')",
            name=op.f("ck_stage_state"),
        ),
        sa.CheckConstraint(
            "attempt >= 0 AND losses >= 0 AND recoveries >= 0", name=op.f("ck_stage_counters")
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["run.id"], name=op.f("fk_stage_run"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "position", name=op.f("pk_stage")),
    )
    op.create_table(
        "task",
        sa.Column("run_id", NUMBER, nullable=False),
        sa.Column("stage", KEY, nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("stop", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("state", KEY, nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("worker_pid", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.LargeBinary(), nullable=True),
        sa.Column("value", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint(
            "state IN ('finished', 'failed', 'lost', 'cancelled')", name=op.f("ck_task_state")
        ),
        sa.CheckConstraint("start >= 0 AND stop >= start", name=op.f("ck_task_range")),
        sa.ForeignKeyConstraint(
            ["run_id"], ["run.id"], name=op.f("fk_task_run"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint(
            "run_id", "stage", "start", "attempt", "stop", "epoch", "state", name=op.f("pk_task")
        ),
    )
