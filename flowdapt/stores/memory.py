"""Keep everything in memory: the whole store for tests and embedded runs, durable in nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal, TypeVar

import trio

from flowdapt.domain import facts
from flowdapt.domain.errors import InvalidInput, Unavailable
from flowdapt.domain.event_filter import EventFilter
from flowdapt.domain.events import RESOURCE_APPLIED, RESOURCE_DELETED, Event, EventDraft
from flowdapt.domain.records import ItemRecord, RunRecord, TaskRecord
from flowdapt.domain.resource import Applied, Kind, Metadata, Resource, canonical
from flowdapt.domain.task import MetricPoint
from flowdapt.ports.clock import Clock
from flowdapt.ports.store import MetricSeries, Page, ResourceWrite, RunFilter, StoreInfo
from flowdapt.stores import refusals
from flowdapt.stores.cursors import page_size
from flowdapt.stores.documents import resource_event, selected
from flowdapt.stores.memory_checking import broken
from flowdapt.stores.memory_lists import SORTS, fits, page_of, slim
from flowdapt.stores.memory_profiles import MemoryProfiles
from flowdapt.stores.memory_runs import HeldRun

__all__ = ["MemoryStore"]

T = TypeVar("T")
Resources = dict[tuple[str, str], list[Resource]]


class MemoryStore(MemoryProfiles):
    """A store without a file."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._resources: Resources = {}
        self._beats: dict[str, datetime] = {}
        self._incarnation = os.urandom(8).hex()

    async def open(self) -> None:
        await trio.lowlevel.checkpoint()

    async def close(self) -> None:
        await trio.lowlevel.checkpoint()

    async def info(self) -> StoreInfo:
        await trio.lowlevel.checkpoint()
        counts: dict[str, int] = {}
        for held in self._runs.values():
            counts[held.run.state.value] = counts.get(held.run.state.value, 0) + 1
        return StoreInfo("memory://", "memory", self._incarnation, 0, counts)

    async def size_bytes(self) -> int:
        await trio.lowlevel.checkpoint()
        return 0

    # -- resources ---------------------------------------------------------------------------------

    async def apply(
        self, writes: Sequence[ResourceWrite], *, dry_run: bool = False
    ) -> list[Applied]:
        await trio.lowlevel.checkpoint()
        planned = {key: list(revisions) for key, revisions in self._resources.items()}
        answers = [self._write(planned, write) for write in writes]
        if not dry_run:
            self._resources = planned
            for applied in answers:
                if applied.action != "unchanged":
                    self._journal.add(resource_event(RESOURCE_APPLIED, applied))
        return answers

    def _write(self, planned: Resources, write: ResourceWrite) -> Applied:
        kind, name = write.resource.kind, write.resource.metadata.name
        revisions = planned.get((kind, name), [])
        old = revisions[-1] if revisions else None
        current = len(revisions) and _revision(revisions[-1])
        refusals.check_revision(kind, name, write.if_revision, current)
        if old is not None and _same(old, write.resource):
            return Applied(kind=kind, name=name, action="unchanged", revision=current)
        planned[kind, name] = [*revisions, self._next(old, write.resource)]
        action: Literal["created", "updated"] = "updated" if old else "created"
        return Applied(kind=kind, name=name, action=action, revision=current + 1)

    def _next(self, old: Resource | None, new: Resource) -> Resource:
        now = self._clock.now()
        metadata = Metadata(
            name=new.metadata.name,
            annotations=json.loads(canonical(new.metadata.annotations)),
            uid=old.metadata.uid if old else os.urandom(16).hex(),
            revision=_revision(old) + 1 if old else 1,
            created_at=old.metadata.created_at if old else now,
            updated_at=now,
        )
        return Resource(kind=new.kind, metadata=metadata, spec=json.loads(canonical(new.spec)))

    def _rule_revision(self, rule: str) -> int | None:
        revisions = self._resources.get(("trigger_rule", rule))
        return _revision(revisions[-1]) if revisions else None

    def _revisions(self, kind: Kind, name: str) -> list[Resource]:
        if (kind, name) not in self._resources:
            raise refusals.no_resource(kind, name)
        return self._resources[kind, name]

    async def get_resource(self, kind: Kind, name: str, *, revision: int | None = None) -> Resource:
        await trio.lowlevel.checkpoint()
        for resource in reversed(self._revisions(kind, name)):
            if revision is None or resource.metadata.revision == revision:
                return resource
        raise refusals.no_resource(kind, name, revision)

    async def list_resources(
        self,
        kind: Kind,
        *,
        annotations: Mapping[str, str] | None = None,
        q: str | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[Resource]:
        await trio.lowlevel.checkpoint()
        found = [
            revisions[-1]
            for (of_kind, name), revisions in sorted(self._resources.items())
            if of_kind == kind
            and selected(name, revisions[-1].metadata.annotations, annotations, q)
        ]
        key = attrgetter("metadata.name")
        return page_of(
            found, f"resource {kind}", lambda found: (key(found),), (str,), cursor, limit
        )

    async def list_revisions(
        self, kind: Kind, name: str, *, cursor: str | None = None, limit: int = 100
    ) -> Page[Resource]:
        await trio.lowlevel.checkpoint()
        found = list(reversed(self._revisions(kind, name)))
        return page_of(found, "revision", lambda r: (-_revision(r),), (int,), cursor, limit)

    async def delete_resource(
        self, kind: Kind, name: str, *, if_revision: int | None = None
    ) -> Applied:
        await trio.lowlevel.checkpoint()
        current = _revision(self._revisions(kind, name)[-1])
        refusals.check_revision(kind, name, if_revision, current)
        del self._resources[kind, name]
        applied = Applied(kind=kind, name=name, action="deleted", revision=current)
        self._journal.add(resource_event(RESOURCE_DELETED, applied))
        return applied

    # -- lists of runs -------------------------------------------------------------------------------

    async def list_runs(
        self, where: RunFilter, *, cursor: str | None = None, limit: int = 100
    ) -> Page[RunRecord]:
        await trio.lowlevel.checkpoint()
        down, name = where.sort.startswith("-"), where.sort.removeprefix("-")
        if name not in SORTS:
            raise InvalidInput(f"cannot sort by {name!r}", fix=f"sort by {', '.join(SORTS)}")
        sign = -1 if down else 1

        def key(run: RunRecord) -> tuple[int, int]:
            return sign * SORTS[name](run), sign * run.number

        runs = [held.run for held in self._runs.values() if fits(held.run, where)]
        page = page_of(sorted(runs, key=key), where.sort, key, (int, int), cursor, limit)
        return Page([slim(run) for run in page.items], page.next)

    async def list_tasks(
        self,
        uid: str,
        stage: str,
        *,
        state: str | None = None,
        cursor: str | None = None,
        limit: int = 500,
    ) -> Page[TaskRecord]:
        await trio.lowlevel.checkpoint()
        found = sorted(
            (key[1:], task)
            for key, task in self._held(uid).tasks.items()
            if key[0] == stage and state in (None, task.state)
        )
        types = (int, int, int, int, str)
        page = page_of(found, "task", lambda pair: pair[0], types, cursor, limit)
        return Page([task for _, task in page.items], page.next)

    async def list_items(
        self,
        uid: str,
        stage: str,
        *,
        state: str | None = None,
        cursor: str | None = None,
        limit: int = 500,
    ) -> Page[ItemRecord]:
        await trio.lowlevel.checkpoint()
        items = self._held(uid).items.values()
        found = [item for item in items if item.stage == stage and state in (None, item.state)]
        found.sort(key=lambda item: item.index)
        return page_of(found, "item", lambda item: (item.index,), (int,), cursor, limit)

    # -- metrics, journal, housekeeping ----------------------------------------------------------------

    async def add_metrics(self, uid: str, points: Sequence[tuple[str, MetricPoint]]) -> None:
        await trio.lowlevel.checkpoint()
        self._measure(self._held(uid), points)

    async def get_metrics(
        self, uid: str, *, stage: str | None = None, name: str | None = None
    ) -> list[MetricSeries]:
        await trio.lowlevel.checkpoint()
        found: dict[tuple[str, str, int], MetricSeries] = {}
        for (of_stage, of_name, index, step), point in sorted(
            self._held(uid).metrics.items(), key=lambda pair: pair[0]
        ):
            if stage in (None, of_stage) and name in (None, of_name):
                series = MetricSeries(of_stage, of_name, None if index < 0 else index, [])
                series = found.setdefault((of_stage, of_name, index), series)
                series.points.append((step, point.value, point.time))
        return list(found.values())

    async def add_event(self, event: EventDraft) -> Event:
        await trio.lowlevel.checkpoint()
        return self._journal.add(event)

    async def list_events(
        self,
        *,
        after: int = 0,
        run: str | None = None,
        types: Sequence[str] = (),
        workflow: str | None = None,
        subject: str = "",
        since: datetime | None = None,
        newest: bool = False,
        limit: int = 500,
    ) -> list[Event]:
        await trio.lowlevel.checkpoint()
        if run is not None:
            self._held(run)
        where = EventFilter(tuple(types), run, workflow, subject)
        found = self._journal.after(after, where, since)
        size = page_size(limit)
        return found[-size:] if newest else found[:size]

    async def beat(self, owner: str, about: Mapping[str, Any]) -> None:
        await trio.lowlevel.checkpoint()
        self._beats[owner] = self._clock.now()

    async def dead_owners(self, *, lease_s: float, but: str) -> list[str]:
        await trio.lowlevel.checkpoint()
        now = self._clock.now()

        def dead(owner: str) -> bool:
            beat = self._beats.get(owner)
            return not lease_s or beat is None or (now - beat).total_seconds() > lease_s

        owners = {held.run.owner for held in self._active() if held.run.owner not in (None, but)}
        return sorted(owner for owner in owners if dead(owner))

    async def delete_expired(
        self, *, older_than: datetime, keep_per_workflow: int, limit: int
    ) -> list[str]:
        await trio.lowlevel.checkpoint()
        doomed = self._expired(older_than, keep_per_workflow)[:limit]
        for run in doomed:
            self._forget(run.uid)
        self._journal.forget_before(older_than)
        for run in doomed:
            self._journal.add(facts.run_deleted(run.uid, run.workflow, "retention"))
        return [run.uid for run in doomed]

    def _expired(self, older_than: datetime, keep: int) -> list[RunRecord]:
        newest: dict[str, list[HeldRun]] = {}
        for held in sorted(self._runs.values(), key=lambda held: -held.run.number):
            newest.setdefault(held.run.workflow, []).append(held)
        old = [held.run for runs in newest.values() for held in runs[keep:]]
        ended = [run for run in old if run.finished_at is not None and run.finished_at < older_than]
        return sorted(ended, key=lambda run: (run.finished_at or older_than, run.number))

    async def backup(self, target: Path) -> int:
        raise Unavailable("a store in memory has no backup")

    async def check(self) -> list[str]:
        await trio.lowlevel.checkpoint()
        return [
            sentence
            for uid, held in self._runs.items()
            for sentence in broken(held, self._journal.of(uid))
        ]


def _revision(resource: Resource) -> int:
    return resource.metadata.revision or 0


def _same(old: Resource, new: Resource) -> bool:
    return canonical(old.spec) == canonical(new.spec) and canonical(
        old.metadata.annotations
    ) == canonical(new.metadata.annotations)
