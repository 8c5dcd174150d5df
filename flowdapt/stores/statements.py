"""Hold every fixed statement, built with SQLAlchemy Core from the tables of `rows`.

Where the order of parameters matters to a caller it is named after the statement and checked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    ClauseElement,
    Table,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    select,
    text,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from flowdapt.stores.dialects import SQLITE, Sql
from flowdapt.stores.rows import ACTIVE_RUN, OPEN_RUN, TERMINAL_RUN, table

run, stage, task, item = table("run"), table("stage"), table("task"), table("item")
event, metric, document = table("event"), table("metric"), table("document")
resource, revision, service = table("resource"), table("resource_revision"), table("service")
meta = table("meta")


def _all_but(source: Table, *left_out: str) -> list[str]:
    return [c.name for c in source.columns if c.name not in left_out]


def _insert(target: Table, *left_out: str) -> Callable[[str], ClauseElement]:
    names = _all_but(target, *left_out)
    return lambda _: insert(target).values({name: bindparam(name) for name in names})


def _upsert(target: Table) -> Callable[[str], ClauseElement]:
    """Insert, or write every other column of the row with the same primary key."""
    keys = [c.name for c in target.primary_key.columns]

    def make(name: str) -> ClauseElement:
        maker = sqlite.insert if name == SQLITE else postgresql.insert
        adding = maker(target).values({c.name: bindparam(c.name) for c in target.columns})
        fresh = {n: adding.excluded[n] for n in _all_but(target, *keys)}
        return adding.on_conflict_do_update(index_elements=keys, set_=fresh)

    return make


def _is(column: str) -> Any:
    """Compare with a parameter named so that it never meets a column's own."""
    return literal_column(column) == bindparam(f"is_{column.replace('.', '_')}")


def _of_revision() -> tuple[Any, ...]:
    return (revision.c.kind == bindparam("kind"), revision.c.name == bindparam("name"))


OPEN = text(OPEN_RUN)
ACTIVE = text(ACTIVE_RUN)


def _in_order(source: Table, *names: str) -> dict[str, Any]:
    """Return the values of an update: SET renders its columns in the table's order."""
    return {c.name: bindparam(c.name) for c in source.columns if c.name in names}


# -- runs --------------------------------------------------------------------------------------------

# The row of `records.run_row`; answers the number.
INSERT_RUN = Sql(
    lambda _: (
        insert(run).values({n: bindparam(n) for n in _all_but(run, "id")}).returning(run.c.id)
    ),
    *_all_but(run, "id"),
)
# Where a row of `run` holds what is wanted without its record.
_RUN_COLUMNS = [c.name for c in run.columns]
UID, NAME, STATE = (_RUN_COLUMNS.index(name) for name in ("uid", "name", "state"))
DEFINITION, CREATED_AT = _RUN_COLUMNS.index("definition"), _RUN_COLUMNS.index("created_at")
RUN_ID = Sql(lambda _: select(run.c.id).where(run.c.uid == bindparam("uid")))
GET_RUN = Sql(lambda _: select(run).where(run.c.uid == bindparam("uid")))
GET_RUN_BY_ID = Sql(lambda _: select(run).where(run.c.id == bindparam("id")))
# The compare of compare-and-set; locks the row where rows can be locked.
OWNED_RUN = Sql(
    lambda _: (
        select(run.c.id, run.c.next_seq)
        .where(run.c.uid == bindparam("uid"), run.c.epoch == bindparam("epoch"), OPEN)
        .with_for_update()
    ),
    "uid",
    "epoch",
)
SET_NEXT_SEQ = Sql(
    lambda _: update(run).values(next_seq=bindparam("next")).where(_is("id")), "next", "is_id"
)
_PATCHED = (
    "state", "reason", "partial", "next_seq", "started_at", "finished_at", "error", "result"
)  # fmt: skip
PATCH_RUN = Sql(
    lambda _: update(run).values(_in_order(run, *_PATCHED)).where(_is("id")), *_PATCHED, "is_id"
)
# The same, and the owner lets go.
END_RUN = Sql(
    lambda _: update(run).values(owner=None, **_in_order(run, *_PATCHED)).where(_is("id")),
    *_PATCHED,
    "is_id",
)
RELEASE_RUN = Sql(lambda _: update(run).values(owner=None).where(_is("id")))
OLD_KEY = Sql(
    lambda _: select(run).where(
        run.c.workflow == bindparam("workflow"), run.c.idempotency_key == bindparam("key")
    ),
    "workflow",
    "key",
)
COUNT_QUEUED = Sql(lambda _: select(func.count()).select_from(run).where(text("state = 'queued'")))
COUNT_OPEN = Sql(
    lambda _: select(run.c.state, func.count()).where(OPEN).group_by(run.c.state),
)
COUNT_ENDED = Sql(
    lambda _: select(run.c.state, func.count()).where(text(TERMINAL_RUN)).group_by(run.c.state)
)
OPEN_OF_WORKFLOW = Sql(
    lambda _: select(run.c.uid).where(run.c.workflow == bindparam("workflow"), OPEN),
)
COUNT_ACTIVE = Sql(
    lambda _: (
        select(func.count())
        .select_from(run)
        .where(run.c.workflow == bindparam("workflow"), OPEN, text("state <> 'queued'"))
    )
)
# Covered by ix_run_queue: walking past the runs of full workflows reads no rows.
QUEUE = Sql(
    lambda _: (
        select(run.c.id, run.c.workflow, run.c.max_runs)
        .where(text("state = 'queued'"))
        .order_by(run.c.priority.desc(), run.c.id)
    )
)
LOCK_QUEUED = Sql(
    lambda _: (
        select(run.c.id)
        .where(_is("id"), text("state = 'queued'"))
        .with_for_update(skip_locked=True)
    )
)
UNOWNED = Sql(
    lambda _: (
        select(run.c.id)
        .where(ACTIVE, run.c.owner.is_(None))
        .order_by(run.c.id)
        .limit(bindparam("limit"))
        .with_for_update(skip_locked=True)
    )
)
OWNED_BY = Sql(
    lambda _: select(run.c.id).where(ACTIVE, _is("owner")).order_by(run.c.id).with_for_update(),
)
OWNERS = Sql(lambda _: select(run.c.owner).where(ACTIVE, run.c.owner.is_not(None)).distinct())
TAKE_OVER = Sql(
    lambda _: update(run).values(owner=bindparam("to"), epoch=run.c.epoch + 1).where(_is("id")),
)
START_RUN = Sql(
    lambda _: update(run)
    .values(
        state="running", owner=bindparam("to"), epoch=run.c.epoch + 1, next_seq=run.c.next_seq + 1,
        started_at=bindparam("at"),
    )
    .where(_is("id")),
)  # fmt: skip
REQUEST_CANCEL = Sql(
    lambda _: (
        update(run)
        .values(cancel_requested_at=bindparam("at"), cancel_reason=bindparam("why"))
        .where(_is("id"))
    ),
)
EXPIRED = Sql(
    lambda _: (
        select(run.c.id, run.c.uid, run.c.workflow)
        .where(func.coalesce(run.c.finished_at, -1) < bindparam("before"), text(TERMINAL_RUN))
        .order_by(func.coalesce(run.c.finished_at, -1), run.c.id)
    )
)
# The oldest of the newest so many runs of a workflow.
NEWEST = Sql(
    lambda _: (
        select(run.c.id)
        .where(run.c.workflow == bindparam("workflow"))
        .order_by(run.c.id.desc())
        .limit(1)
        .offset(bindparam("skip"))
    )
)
DELETE_RUN = Sql(lambda _: delete(run).where(_is("id")))
OPEN_IDS = Sql(lambda _: select(run.c.id).where(OPEN).order_by(run.c.workflow, run.c.state))
FIND_BY_PREFIX = Sql(
    lambda _: (
        select(run)
        .where(
            ((run.c.uid >= bindparam("u1")) & (run.c.uid < bindparam("u2")))
            | ((run.c.name >= bindparam("n1")) & (run.c.name < bindparam("n2")))
        )
        .limit(4)
    ),
)
FIND_BY_NAME = Sql(lambda _: select(run).where(run.c.name == bindparam("name")).limit(3))

# -- stages, tasks, items ------------------------------------------------------------------------------

INSERT_STAGE = Sql(_insert(stage), *_all_but(stage))
# The row of `records.stage_patch_row`, then run and position.
PATCH_STAGE = Sql(
    lambda _: (
        update(stage)
        .values({n: bindparam(n) for n in _all_but(stage, "run_id", "position", "name", "type")})
        .where(_is("run_id"), _is("position"))
    ),
    *_all_but(stage, "run_id", "position", "name", "type"),
    "is_run_id",
    "is_position",
)
LIST_STAGES = Sql(lambda _: select(stage).where(_is("run_id")).order_by(stage.c.position))
CANCEL_STAGES = Sql(
    lambda _: (
        update(stage)
        .values(state="cancelled", next_at=None, finished_at=bindparam("at"))
        .where(_is("run_id"), text("state IN ('pending', 'running', 'retrying')"))
    )
)
DRAIN_STAGES = Sql(
    lambda _: update(stage).values(state="pending").where(_is("run_id"), text("state = 'running'"))
)
PUT_TASK = Sql(_upsert(task), *_all_but(task))
LIST_ALL_TASKS = Sql(
    lambda _: (
        select(task)
        .where(_is("run_id"))
        .order_by(
            task.c.stage, task.c.start, task.c.attempt, task.c.stop, task.c.epoch, task.c.state
        )
    )
)
PUT_ITEM = Sql(_upsert(item), *_all_but(item))
LIST_ALL_ITEMS = Sql(lambda _: select(item).where(_is("run_id")).order_by(item.c.stage, item.c.idx))
PUT_METRIC = Sql(_upsert(metric), *_all_but(metric))

LIST_METRICS = Sql(
    lambda _: (
        select(metric)
        .where(_is("run_id"))
        .order_by(metric.c.stage, metric.c.name, metric.c.idx, metric.c.step)
    )
)

# -- journal ---------------------------------------------------------------------------------------------

WRITE_EVENT = Sql(_insert(event, "cursor"), *_all_but(event, "cursor"))
INSERT_EVENT = Sql(
    lambda _: (
        insert(event)
        .values({n: bindparam(n) for n in _all_but(event, "cursor")})
        .returning(event.c.cursor)
    ),
    *_all_but(event, "cursor"),
)
PUT_SERVICE = Sql(_upsert(service), *_all_but(service))
LIST_SERVICES = Sql(lambda _: select(service.c.owner, service.c.beat_at))
DELETE_OLD_EVENTS = Sql(
    lambda _: delete(event).where(
        event.c.cursor.in_(
            select(event.c.cursor)
            .where(event.c.run_id.is_(None), event.c.time < bindparam("before"))
            .order_by(event.c.time)
            .limit(bindparam("limit"))
        )
    )
)

# -- resources, documents, meta -----------------------------------------------------------------------------

PUT_RESOURCE = Sql(_upsert(resource), *_all_but(resource))
INSERT_REVISION = Sql(_insert(revision), *_all_but(revision))
GET_RESOURCE = Sql(lambda _: select(resource).where(_is("kind"), _is("name")))
LIST_RESOURCES = Sql(
    lambda _: (
        select(resource)
        .where(_is("kind"), resource.c.name > bindparam("after"))
        .order_by(resource.c.name)
        .limit(bindparam("limit"))
    )
)
# A revision as a row of `resource`: uid and created_at are those of the resource.
_REVISION = (
    revision.c.kind, revision.c.name, resource.c.uid, revision.c.revision, resource.c.created_at,
    revision.c.updated_at, revision.c.annotations, revision.c.digest,
)  # fmt: skip
_revisions = revision.join(
    resource, (resource.c.kind == revision.c.kind) & (resource.c.name == revision.c.name)
)
GET_REVISION = Sql(
    lambda _: (
        select(*_REVISION)
        .select_from(_revisions)
        .where(*_of_revision(), revision.c.revision == bindparam("revision"))
    )
)
LIST_REVISIONS = Sql(
    lambda _: (
        select(*_REVISION)
        .select_from(_revisions)
        .where(*_of_revision(), revision.c.revision < bindparam("before"))
        .order_by(revision.c.revision.desc())
        .limit(bindparam("limit"))
    )
)
SWEEP_DOCUMENTS = Sql(
    lambda _: delete(document).where(
        document.c.used_at < bindparam("before"),
        document.c.digest.not_in(
            union_all(select(run.c.definition), select(run.c.config), select(revision.c.digest))
        ),
    )
)
DELETE_RESOURCE = Sql(lambda _: delete(resource).where(_is("kind"), _is("name")))
GET_DOCUMENT = Sql(lambda _: select(document.c.body).where(_is("digest")))
META_KEYS = Sql(lambda _: select(meta.c.key, meta.c.value))
PUT_META = Sql(_upsert(meta), "key", "value")


def _put_document(name: str) -> ClauseElement:
    maker = sqlite.insert if name == SQLITE else postgresql.insert
    adding = maker(document).values({c.name: bindparam(c.name) for c in document.columns})
    return adding.on_conflict_do_update(
        index_elements=["digest"], set_={"used_at": adding.excluded.used_at}
    )


PUT_DOCUMENT = Sql(_put_document, "digest", "body", "used_at")
