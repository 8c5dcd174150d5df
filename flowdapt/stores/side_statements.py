"""Hold the fixed statements about what stands beside runs: journal, resources, documents, services."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ClauseElement, bindparam, delete, insert, select, union_all

from flowdapt.stores.building import Statement, all_but, equals, insert_maker, insert_row, upsert
from flowdapt.stores.rows import table

run, event, document, meta = table("run"), table("event"), table("document"), table("meta")
resource, revision, service = table("resource"), table("resource_revision"), table("service")


def _of_revision() -> tuple[Any, ...]:
    return (revision.c.kind == bindparam("kind"), revision.c.name == bindparam("name"))


# -- journal ---------------------------------------------------------------------------------------------

WRITE_EVENT = Statement(insert_row(event, "cursor"), *all_but(event, "cursor"))
INSERT_EVENT = Statement(
    lambda _: (
        insert(event)
        .values({n: bindparam(n) for n in all_but(event, "cursor")})
        .returning(event.c.cursor)
    ),
    *all_but(event, "cursor"),
)
PUT_SERVICE = Statement(upsert(service), *all_but(service))
LIST_SERVICES = Statement(lambda _: select(service.c.owner, service.c.beat_at))
DELETE_OLD_EVENTS = Statement(
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

PUT_RESOURCE = Statement(upsert(resource), *all_but(resource))
INSERT_REVISION = Statement(insert_row(revision), *all_but(revision))
GET_RESOURCE = Statement(lambda _: select(resource).where(equals("kind"), equals("name")))
LIST_RESOURCES = Statement(
    lambda _: (
        select(resource)
        .where(equals("kind"), resource.c.name > bindparam("after"))
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
GET_REVISION = Statement(
    lambda _: (
        select(*_REVISION)
        .select_from(_revisions)
        .where(*_of_revision(), revision.c.revision == bindparam("revision"))
    )
)
LIST_REVISIONS = Statement(
    lambda _: (
        select(*_REVISION)
        .select_from(_revisions)
        .where(*_of_revision(), revision.c.revision < bindparam("before"))
        .order_by(revision.c.revision.desc())
        .limit(bindparam("limit"))
    )
)
SWEEP_DOCUMENTS = Statement(
    lambda _: delete(document).where(
        document.c.used_at < bindparam("before"),
        document.c.digest.not_in(
            union_all(select(run.c.definition), select(run.c.config), select(revision.c.digest))
        ),
    )
)
DELETE_RESOURCE = Statement(lambda _: delete(resource).where(equals("kind"), equals("name")))
GET_DOCUMENT = Statement(lambda _: select(document.c.body).where(equals("digest")))
META_KEYS = Statement(lambda _: select(meta.c.key, meta.c.value))
PUT_META = Statement(upsert(meta), "key", "value")


def _put_document(name: str) -> ClauseElement:
    maker = insert_maker(name)
    adding = maker(document).values({c.name: bindparam(c.name) for c in document.columns})
    made: ClauseElement = adding.on_conflict_do_update(
        index_elements=["digest"], set_={"used_at": adding.excluded.used_at}
    )
    return made


PUT_DOCUMENT = Statement(_put_document, "digest", "body", "used_at")
