"""Write and read resources with their revisions; whole documents, nothing of what they mean."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from flowdapt.domain.events import RESOURCE_APPLIED, RESOURCE_DELETED
from flowdapt.domain.resource import Applied, Kind, Metadata, Resource, canonical
from flowdapt.ports.store import Page, ResourceWrite
from flowdapt.stores import prepared as sql
from flowdapt.stores.cursors import page_size, read_cursor, write_cursor
from flowdapt.stores.documents import resource_event, selected
from flowdapt.stores.journal import add_event
from flowdapt.stores.links import Row, Tx
from flowdapt.stores.records import moment
from flowdapt.stores.refusals import check_revision, no_resource
from flowdapt.stores.texts import Texts

__all__ = [
    "apply",
    "delete_resource",
    "get_resource",
    "list_resources",
    "list_revisions",
]

_CHUNK = 200


@dataclass(frozen=True, slots=True)
class _Current:
    """What is stored of one resource."""

    uid: str
    revision: int
    created_at: int
    annotations: str
    spec: str


def apply(tx: Tx, texts: Texts, writes: Sequence[ResourceWrite], *, dry_run: bool) -> list[Applied]:
    """Store all documents or none; see `Store.apply`."""
    planned = list(_plan(tx, texts, writes))
    if not dry_run:
        for applied, current in planned:
            if applied.action != "unchanged":
                _store(tx, texts, applied, current)
    return [applied for applied, _ in planned]


def _plan(
    tx: Tx, texts: Texts, writes: Sequence[ResourceWrite]
) -> Iterator[tuple[Applied, _Current]]:
    """Decide what each write does, the earlier ones of the same call being done."""
    now = tx.now()
    seen: dict[tuple[str, str], _Current | None] = {}
    for write in writes:
        kind, name = write.resource.kind, write.resource.metadata.name
        if (kind, name) not in seen:
            seen[kind, name] = _find(tx, texts, kind, name)
        old = seen[kind, name]
        check_revision(kind, name, write.if_revision, old.revision if old else 0)
        annotations = canonical(write.resource.metadata.annotations)
        spec = canonical(write.resource.spec)
        if old is not None and (old.annotations, old.spec) == (annotations, spec):
            unchanged = Applied(kind=kind, name=name, action="unchanged", revision=old.revision)
            yield unchanged, old
            continue
        new = _Current(
            old.uid if old else os.urandom(16).hex(),
            old.revision + 1 if old else 1,
            old.created_at if old else now,
            annotations,
            spec,
        )
        seen[kind, name] = new
        action = "updated" if old else "created"
        yield Applied(kind=kind, name=name, action=action, revision=new.revision), new


def _store(tx: Tx, texts: Texts, applied: Applied, new: _Current) -> None:
    now, digest = tx.now(), texts.put(tx, new.spec)
    kind, name = applied.kind, applied.name
    tx.run(
        sql.PUT_RESOURCE,
        (kind, name, new.uid, new.revision, new.created_at, now, new.annotations, digest),
    )
    tx.run(sql.INSERT_REVISION, (kind, name, new.revision, now, new.annotations, digest))
    add_event(tx, resource_event(RESOURCE_APPLIED, applied))


def _find(tx: Tx, texts: Texts, kind: str, name: str) -> _Current | None:
    row = tx.one(sql.GET_RESOURCE, (kind, name))
    if row is None:
        return None
    return _Current(row[2], row[3], row[4], row[6], texts.get(tx, row[7]))


def _resource(texts: Texts, tx: Tx, row: Row) -> Resource:
    """Return the resource of a row (kind, name, uid, revision, created, updated, annotations, digest)."""
    metadata = Metadata.model_construct(
        name=row[1],
        annotations=json.loads(row[6]),
        uid=row[2],
        revision=row[3],
        created_at=moment(row[4]),
        updated_at=moment(row[5]),
    )
    spec = json.loads(texts.get(tx, row[7]) or "{}")
    return Resource.model_construct(kind=row[0], metadata=metadata, spec=spec)


def get_resource(tx: Tx, texts: Texts, kind: Kind, name: str, revision: int | None) -> Resource:
    row = (
        tx.one(sql.GET_RESOURCE, (kind, name))
        if revision is None
        else tx.one(sql.GET_REVISION, (kind, name, revision))
    )
    if row is None:
        raise no_resource(kind, name, revision)
    return _resource(texts, tx, row)


def list_resources(
    tx: Tx, texts: Texts, kind: Kind, annotations: Mapping[str, str] | None, q: str | None,
    cursor: str | None, limit: int,
) -> Page[Resource]:  # fmt: skip
    size = page_size(limit)
    after = read_cursor(f"resource {kind}", cursor, str)[0] if cursor is not None else ""
    found: list[Row] = []
    for row in _by_name(tx, kind, after):
        if selected(row[1], json.loads(row[6]), annotations, q):
            found.append(row)
        if len(found) > size:
            break
    following = write_cursor(f"resource {kind}", found[size - 1][1]) if len(found) > size else None
    return Page([_resource(texts, tx, row) for row in found[:size]], following)


def _by_name(tx: Tx, kind: Kind, after: str) -> Iterator[Row]:
    while rows := tx.all(sql.LIST_RESOURCES, (kind, after, _CHUNK)):
        yield from rows
        after = rows[-1][1]


def list_revisions(
    tx: Tx, texts: Texts, kind: Kind, name: str, cursor: str | None, limit: int
) -> Page[Resource]:
    size = page_size(limit)
    before = read_cursor("revision", cursor, int)[0] if cursor is not None else 2**53
    rows = tx.all(sql.LIST_REVISIONS, (kind, name, before, size + 1))
    if not rows and cursor is None:
        raise no_resource(kind, name)
    following = write_cursor("revision", rows[size - 1][3]) if len(rows) > size else None
    return Page([_resource(texts, tx, row) for row in rows[:size]], following)


def delete_resource(tx: Tx, kind: Kind, name: str, if_revision: int | None) -> Applied:
    row = tx.one(sql.GET_RESOURCE, (kind, name))
    if row is None:
        raise no_resource(kind, name)
    check_revision(kind, name, if_revision, row[3])
    applied = Applied(kind=kind, name=name, action="deleted", revision=row[3])
    tx.run(sql.DELETE_RESOURCE, (kind, name))
    add_event(tx, resource_event(RESOURCE_DELETED, applied))
    return applied
