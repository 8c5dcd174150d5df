"""Hold the fixed statements about runs, built with SQLAlchemy Core from the tables of `rows`.

Where the order of parameters matters to a caller it is named after the statement and checked.
Stores use them through `prepared`, which is made from here.
"""

from __future__ import annotations

from sqlalchemy import (
    bindparam,
    delete,
    func,
    insert,
    select,
    text,
    update,
)

from flowdapt.stores.building import Statement, all_but, equals, insert_row, upsert, values_of
from flowdapt.stores.conditions import ACTIVE_RUN, OPEN_RUN, TERMINAL_RUN
from flowdapt.stores.rows import table

run, stage, task, item = table("run"), table("stage"), table("task"), table("item")
metric, revision = table("metric"), table("resource_revision")


OPEN = text(OPEN_RUN)
ACTIVE = text(ACTIVE_RUN)


# -- runs --------------------------------------------------------------------------------------------

# The row of `records.run_row`; answers the number.
INSERT_RUN = Statement(
    lambda _: insert(run).values({n: bindparam(n) for n in all_but(run, "id")}).returning(run.c.id),
    *all_but(run, "id"),
)
# Where a row of `run` holds what is wanted without its record.
_RUN_COLUMNS = [c.name for c in run.columns]
UID, NAME, STATE = (_RUN_COLUMNS.index(name) for name in ("uid", "name", "state"))
DEFINITION, CREATED_AT = _RUN_COLUMNS.index("definition"), _RUN_COLUMNS.index("created_at")
RUN_ID = Statement(lambda _: select(run.c.id).where(run.c.uid == bindparam("uid")))
GET_RUN = Statement(lambda _: select(run).where(run.c.uid == bindparam("uid")))
GET_RUN_BY_ID = Statement(lambda _: select(run).where(run.c.id == bindparam("id")))
# The compare of compare-and-set; locks the row where rows can be locked.
OWNED_RUN = Statement(
    lambda _: (
        select(run.c.id, run.c.next_seq)
        .where(run.c.uid == bindparam("uid"), run.c.epoch == bindparam("epoch"), OPEN)
        .with_for_update()
    ),
    "uid",
    "epoch",
)
SET_NEXT_SEQ = Statement(
    lambda _: update(run).values(next_seq=bindparam("next")).where(equals("id")), "next", "is_id"
)
_PATCHED = (
    "state", "reason", "partial", "next_seq", "started_at", "finished_at", "error", "result"
)  # fmt: skip
PATCH_RUN = Statement(
    lambda _: update(run).values(values_of(run, *_PATCHED)).where(equals("id")), *_PATCHED, "is_id"
)
# The same, and the owner lets go.
END_RUN = Statement(
    lambda _: update(run).values(owner=None, **values_of(run, *_PATCHED)).where(equals("id")),
    *_PATCHED,
    "is_id",
)
RELEASE_RUN = Statement(lambda _: update(run).values(owner=None).where(equals("id")))
OLD_KEY = Statement(
    lambda _: select(run).where(
        run.c.workflow == bindparam("workflow"), run.c.idempotency_key == bindparam("key")
    ),
    "workflow",
    "key",
)
COUNT_QUEUED = Statement(
    lambda _: select(func.count()).select_from(run).where(text("state = 'queued'"))
)
COUNT_OPEN = Statement(
    lambda _: select(run.c.state, func.count()).where(OPEN).group_by(run.c.state),
)
COUNT_ENDED = Statement(
    lambda _: select(run.c.state, func.count()).where(text(TERMINAL_RUN)).group_by(run.c.state)
)
OPEN_OF_WORKFLOW = Statement(
    lambda _: select(run.c.uid).where(run.c.workflow == bindparam("workflow"), OPEN),
)
COUNT_ACTIVE = Statement(
    lambda _: (
        select(func.count())
        .select_from(run)
        .where(run.c.workflow == bindparam("workflow"), OPEN, text("state <> 'queued'"))
    )
)
# Covered by ix_run_queue: walking past the runs of full workflows reads no rows.
QUEUE = Statement(
    lambda _: (
        select(run.c.id, run.c.workflow, run.c.max_runs)
        .where(text("state = 'queued'"))
        .order_by(run.c.priority.desc(), run.c.id)
    )
)
LOCK_QUEUED = Statement(
    lambda _: (
        select(run.c.id)
        .where(equals("id"), text("state = 'queued'"))
        .with_for_update(skip_locked=True)
    )
)
UNOWNED = Statement(
    lambda _: (
        select(run.c.id)
        .where(ACTIVE, run.c.owner.is_(None))
        .order_by(run.c.id)
        .limit(bindparam("limit"))
        .with_for_update(skip_locked=True)
    )
)
OWNED_BY = Statement(
    lambda _: select(run.c.id).where(ACTIVE, equals("owner")).order_by(run.c.id).with_for_update(),
)
OWNERS = Statement(lambda _: select(run.c.owner).where(ACTIVE, run.c.owner.is_not(None)).distinct())
TAKE_OVER = Statement(
    lambda _: update(run).values(owner=bindparam("to"), epoch=run.c.epoch + 1).where(equals("id")),
)
START_RUN = Statement(
    lambda _: update(run)
    .values(
        state="running", owner=bindparam("to"), epoch=run.c.epoch + 1, next_seq=run.c.next_seq + 1,
        started_at=bindparam("at"),
    )
    .where(equals("id")),
)  # fmt: skip
REQUEST_CANCEL = Statement(
    lambda _: (
        update(run)
        .values(cancel_requested_at=bindparam("at"), cancel_reason=bindparam("why"))
        .where(equals("id"))
    ),
)
EXPIRED = Statement(
    lambda _: (
        select(run.c.id, run.c.uid, run.c.workflow)
        .where(func.coalesce(run.c.finished_at, -1) < bindparam("before"), text(TERMINAL_RUN))
        .order_by(func.coalesce(run.c.finished_at, -1), run.c.id)
    )
)
# The oldest of the newest so many runs of a workflow.
NEWEST = Statement(
    lambda _: (
        select(run.c.id)
        .where(run.c.workflow == bindparam("workflow"))
        .order_by(run.c.id.desc())
        .limit(1)
        .offset(bindparam("skip"))
    )
)
DELETE_RUN = Statement(lambda _: delete(run).where(equals("id")))
FIND_BY_PREFIX = Statement(
    lambda _: (
        select(run)
        .where(
            ((run.c.uid >= bindparam("u1")) & (run.c.uid < bindparam("u2")))
            | ((run.c.name >= bindparam("n1")) & (run.c.name < bindparam("n2")))
        )
        .limit(4)
    ),
)
FIND_BY_NAME = Statement(lambda _: select(run).where(run.c.name == bindparam("name")).limit(3))

# -- stages, tasks, items ------------------------------------------------------------------------------

INSERT_STAGE = Statement(insert_row(stage), *all_but(stage))
# The row of `records.stage_patch_row`, then run and position.
PATCH_STAGE = Statement(
    lambda _: (
        update(stage)
        .values({n: bindparam(n) for n in all_but(stage, "run_id", "position", "name", "type")})
        .where(equals("run_id"), equals("position"))
    ),
    *all_but(stage, "run_id", "position", "name", "type"),
    "is_run_id",
    "is_position",
)
LIST_STAGES = Statement(lambda _: select(stage).where(equals("run_id")).order_by(stage.c.position))
CANCEL_STAGES = Statement(
    lambda _: (
        update(stage)
        .values(state="cancelled", next_at=None, finished_at=bindparam("at"))
        .where(equals("run_id"), text("state IN ('pending', 'running', 'retrying')"))
    )
)
DRAIN_STAGES = Statement(
    lambda _: (
        update(stage).values(state="pending").where(equals("run_id"), text("state = 'running'"))
    )
)
PUT_TASK = Statement(upsert(task), *all_but(task))
LIST_ALL_TASKS = Statement(
    lambda _: (
        select(task)
        .where(equals("run_id"))
        .order_by(
            task.c.stage, task.c.start, task.c.attempt, task.c.stop, task.c.epoch, task.c.state
        )
    )
)
PUT_ITEM = Statement(upsert(item), *all_but(item))
LIST_ALL_ITEMS = Statement(
    lambda _: select(item).where(equals("run_id")).order_by(item.c.stage, item.c.idx)
)
PUT_METRIC = Statement(upsert(metric), *all_but(metric))

LIST_METRICS = Statement(
    lambda _: (
        select(metric)
        .where(equals("run_id"))
        .order_by(metric.c.stage, metric.c.name, metric.c.idx, metric.c.step)
    )
)
