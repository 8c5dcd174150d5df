"""The store on a SQL database: each promise of the port becomes one piece of work on a lane.

What the pieces write is decided in the modules named after it; how they reach the database is
`lanes`; what the database is, and how it is opened, belongs to its `Base`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import trio

from flowdapt.domain.event_filter import EventFilter
from flowdapt.domain.events import Event, EventDraft
from flowdapt.domain.records import (
    ItemRecord,
    NewRun,
    RunChange,
    RunRecord,
    StageRecord,
    Submission,
    TaskRecord,
)
from flowdapt.domain.resource import Applied, Kind, Resource
from flowdapt.domain.task import MetricPoint
from flowdapt.ports.store import (
    LoadedRun,
    MetricSeries,
    Page,
    ResourceWrite,
    RunFilter,
    Store,
    StoreInfo,
)
from flowdapt.stores import (
    cancelling,
    checking,
    expiring,
    journal,
    listing,
    owning,
    paging,
    reading,
    resources,
    submitting,
)
from flowdapt.stores import prepared as sql
from flowdapt.stores.lanes import WriterLane
from flowdapt.stores.links import Base, Row
from flowdapt.stores.reader_lane import ReaderLane
from flowdapt.stores.records import micros
from flowdapt.stores.sql_profiles import SqlProfiles
from flowdapt.stores.sql_triggers import SqlTriggers
from flowdapt.stores.texts import Texts

__all__ = ["SqlStore"]


class SqlStore(SqlTriggers, SqlProfiles, Store):
    """Resources, runs and journal in SQLite or PostgreSQL."""

    def __init__(self, base: Base, *, readers: int = 3) -> None:
        self._base = base
        self._writer = WriterLane()
        self._reader = ReaderLane(base.reader, threads=readers)
        self._texts = Texts()
        self._backlog = submitting.Backlog()
        self._facts: Mapping[str, str] = {}
        self._is_open = False

    # -- life ------------------------------------------------------------------------------------

    async def open(self) -> None:
        self._facts = await trio.to_thread.run_sync(self._base.open)
        self._writer.start(await trio.to_thread.run_sync(self._base.writer))
        self._reader.start()
        self._is_open = True

    async def close(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        await self._reader.stop()
        await self._writer.stop()
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._base.close)

    async def info(self) -> StoreInfo:
        runs = await self._reader.read(
            lambda tx: _counts([*tx.all(sql.COUNT_OPEN), *tx.all(sql.COUNT_ENDED)])
        )
        size = await self.size_bytes()
        return StoreInfo(
            self._base.url, self._facts["schema"], self._facts["incarnation"], size, runs
        )

    async def size_bytes(self) -> int:
        return await trio.to_thread.run_sync(self._base.size_bytes)

    # -- resources ---------------------------------------------------------------------------------

    async def apply(
        self, writes: Sequence[ResourceWrite], *, dry_run: bool = False
    ) -> list[Applied]:
        texts = self._texts
        return await self._writer.write(
            lambda tx: resources.apply(tx, texts, writes, dry_run=dry_run), durable=not dry_run
        )

    async def get_resource(self, kind: Kind, name: str, *, revision: int | None = None) -> Resource:
        return await self._reader.read(
            lambda tx: resources.get_resource(tx, self._texts, kind, name, revision)
        )

    async def list_resources(
        self,
        kind: Kind,
        *,
        annotations: Mapping[str, str] | None = None,
        q: str | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[Resource]:
        return await self._reader.read(
            lambda tx: resources.list_resources(
                tx, self._texts, kind, annotations, q, cursor, limit
            )
        )

    async def list_revisions(
        self, kind: Kind, name: str, *, cursor: str | None = None, limit: int = 100
    ) -> Page[Resource]:
        return await self._reader.read(
            lambda tx: resources.list_revisions(tx, self._texts, kind, name, cursor, limit)
        )

    async def delete_resource(
        self, kind: Kind, name: str, *, if_revision: int | None = None
    ) -> Applied:
        return await self._writer.write(
            lambda tx: resources.delete_resource(tx, kind, name, if_revision), durable=True
        )

    # -- runs --------------------------------------------------------------------------------------

    async def submit(self, new: NewRun) -> Submission:
        return await self._writer.write(
            lambda tx: submitting.submit(tx, self._texts, self._backlog, new), durable=True
        )

    async def claim(self, owner: str, *, limit: int) -> list[LoadedRun]:
        return await self._writer.write(
            lambda tx: owning.claim(tx, self._texts, owner, limit), durable=True
        )

    async def reclaim(self, owner: str, *, dead: Sequence[str]) -> list[LoadedRun]:
        return await self._writer.write(
            lambda tx: owning.reclaim(tx, self._texts, owner, dead), durable=True
        )

    async def commit(self, change: RunChange) -> None:
        await self._writer.write(lambda tx: owning.commit(tx, change), durable=change.durable)

    async def release(self, owner: str) -> int:
        return await self._writer.write(lambda tx: owning.release(tx, owner), durable=True)

    async def request_cancel(self, uid: str, reason: str) -> RunRecord:
        return await self._writer.write(
            lambda tx: cancelling.cancel(tx, self._texts, uid, reason), durable=True
        )

    async def get_run(self, ident: str) -> RunRecord:
        return await self._reader.read(lambda tx: reading.find_run(tx, self._texts, ident))

    async def load_run(self, uid: str) -> LoadedRun:
        return await self._reader.read(
            lambda tx: reading.load(tx, self._texts, reading.run_id_of(tx, uid))
        )

    async def list_runs(
        self, where: RunFilter, *, cursor: str | None = None, limit: int = 100
    ) -> Page[RunRecord]:
        return await self._reader.read(lambda tx: listing.list_runs(tx, where, cursor, limit))

    async def list_stages(self, uid: str) -> list[StageRecord]:
        return await self._reader.read(lambda tx: reading.stages_of(tx, reading.run_id_of(tx, uid)))

    async def list_tasks(
        self,
        uid: str,
        stage: str,
        *,
        state: str | None = None,
        cursor: str | None = None,
        limit: int = 500,
    ) -> Page[TaskRecord]:
        return await self._reader.read(
            lambda tx: paging.list_tasks(tx, paging.StageQuery(uid, stage, state, cursor, limit))
        )

    async def list_items(
        self,
        uid: str,
        stage: str,
        *,
        state: str | None = None,
        cursor: str | None = None,
        limit: int = 500,
    ) -> Page[ItemRecord]:
        return await self._reader.read(
            lambda tx: paging.list_items(tx, paging.StageQuery(uid, stage, state, cursor, limit))
        )

    async def delete_run(self, uid: str) -> None:
        await self._writer.write(lambda tx: expiring.delete_run(tx, uid), durable=True)

    async def count_runs(self) -> Mapping[str, int]:
        return await self._reader.read(lambda tx: _counts(tx.all(sql.COUNT_OPEN)))

    # -- metrics, journal, housekeeping --------------------------------------------------------------

    async def add_metrics(self, uid: str, points: Sequence[tuple[str, MetricPoint]]) -> None:
        await self._writer.write(
            lambda tx: journal.write_metrics(tx, reading.run_id_of(tx, uid), points), durable=False
        )

    async def get_metrics(
        self, uid: str, *, stage: str | None = None, name: str | None = None
    ) -> list[MetricSeries]:
        return await self._reader.read(
            lambda tx: journal.series(tx, reading.run_id_of(tx, uid), stage, name)
        )

    async def add_event(self, event: EventDraft) -> Event:
        return await self._writer.write(lambda tx: journal.add_event(tx, event), durable=True)

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
        where = EventFilter(tuple(types), run, workflow, subject)
        query = paging.EventQuery(after, where, micros(since), newest, limit)
        return await self._reader.read(lambda tx: paging.list_events(tx, query))

    async def beat(self, owner: str, about: Mapping[str, Any]) -> None:
        await self._writer.write(lambda tx: journal.beat(tx, owner, about), durable=False)

    async def dead_owners(self, *, lease_s: float, but: str) -> list[str]:
        return await self._reader.read(lambda tx: journal.dead_owners(tx, lease_s, but))

    async def delete_expired(
        self, *, older_than: datetime, keep_per_workflow: int, limit: int
    ) -> list[str]:
        before = micros(older_than) or 0
        return await self._writer.write(
            lambda tx: expiring.delete_expired(tx, self._texts, before, keep_per_workflow, limit),
            durable=False,
        )

    async def backup(self, target: Path) -> int:
        return await trio.to_thread.run_sync(self._base.backup, target)

    async def check(self) -> list[str]:
        return await self._reader.read(checking.check)


def _counts(rows: Sequence[Row]) -> dict[str, int]:
    return {str(row[0]): int(row[1]) for row in rows}
