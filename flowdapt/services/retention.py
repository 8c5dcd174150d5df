"""Forget what is old: whole terminal runs with their files, orphaned files, surplus backups.

What counts as old is set; which rows go the store decides. Everything happens in small batches, so
that no request waits for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import trio

from flowdapt.domain.errors import Conflict, FlowdaptError, NotFound
from flowdapt.domain.run import RunState
from flowdapt.failpoints import failpoint
from flowdapt.logs import get_log
from flowdapt.ports.clock import Clock
from flowdapt.ports.logs import LogStore
from flowdapt.ports.store import RunFilter, Store
from flowdapt.ports.values import ValueStore

__all__ = ["Backups", "Keeping", "Retention"]

FIRST_LOOK_S = 300.0
LOOK_EVERY_S = 3600.0
ORPHAN_AGE_S = 3600.0
BACKUP_EVERY = timedelta(days=1)
_BATCH = 50
_PAUSE_S = 0.05
_ENDED = frozenset(state.value for state in RunState if state.terminal)

log = get_log("flowdapt.retention")


@dataclass(frozen=True, slots=True)
class Keeping:
    """What is kept: runs younger than `max_age_s`, the newest of each workflow, daily backups."""

    enabled: bool = True
    max_age_s: float = 30 * 86400.0
    per_workflow: int = 50
    daily_backup: bool = True


@dataclass(frozen=True, slots=True)
class Backups:
    """How copies of the database are named, looked up and thinned out (`stores/backup.py`).

    `newest` gives the UTC seconds of the newest one.
    """

    new_file: Callable[[datetime], Path]
    newest: Callable[[], Awaitable[float | None]]
    prune: Callable[[], Awaitable[object]]


class Retention:
    """The upkeep of one daemon's store and files."""

    def __init__(
        self,
        *,
        store: Store,
        values: ValueStore,
        logs: LogStore,
        clock: Clock,
        keeping: Keeping,
        backups: Backups | None = None,
        sweep_artifacts: Callable[[], Awaitable[int]] | None = None,
    ) -> None:
        self._store = store
        self._values = values
        self._logs = logs
        self._clock = clock
        self._keeping = keeping
        self._backups = backups
        self._sweep_artifacts = sweep_artifacts
        self._one_at_a_time = trio.Lock()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Do the upkeep now and then, until cancelled."""
        task_status.started()
        await self._clock.sleep(FIRST_LOOK_S)
        while True:
            await self._tolerate(self._daily_backup)
            if self._keeping.enabled:
                await self._tolerate(self.collect)
            await self._clock.sleep(LOOK_EVERY_S)

    async def _tolerate(self, work: Callable[[], Awaitable[Any]]) -> None:
        """A full disk or a busy database is a reason to try later, not to end."""
        try:
            await work()
        except (FlowdaptError, OSError) as error:
            log.warning("upkeep was put off", reason=str(error))

    async def collect(self, *, dry_run: bool = False) -> dict[str, Any]:
        """Delete what is old; return how many runs and how many leftovers went, or would go."""
        async with self._one_at_a_time:
            if dry_run:
                orphans = await self._orphans()
                return {"runs": await self._expired(), "orphans": len(orphans), "dry_run": True}
            runs = await self._delete_expired()
            return {"runs": runs, "orphans": await self._delete_orphans(), "dry_run": False}

    def _cutoff(self) -> datetime:
        return self._clock.now() - timedelta(seconds=self._keeping.max_age_s)

    async def _delete_expired(self) -> int:
        count = 0
        while True:
            gone = await self._store.delete_expired(
                older_than=self._cutoff(),
                keep_per_workflow=self._keeping.per_workflow,
                limit=_BATCH,
            )
            failpoint("gc.after_store")
            for uid in gone:
                await self._values.delete_run(uid)
                await self._logs.delete(uid)
            count += len(gone)
            if len(gone) < _BATCH:
                return count
            await self._clock.sleep(_PAUSE_S)

    async def _expired(self) -> int:
        """Count what `delete_expired` would take, by its rule."""
        cutoff, kept, count, cursor = self._cutoff(), Counter[str](), 0, None
        while True:
            page = await self._store.list_runs(RunFilter(states=_ENDED), cursor=cursor, limit=500)
            for run in page.items:
                kept[run.workflow] += 1
                old = run.finished_at is not None and run.finished_at < cutoff
                count += old and kept[run.workflow] > self._keeping.per_workflow
            if (cursor := page.next) is None:
                return count

    async def _orphans(self) -> list[str]:
        """Return run directories whose run is gone. A run's row is there before its files are."""
        unknown = await self._values.orphans([], older_than_s=ORPHAN_AGE_S)
        return [uid for uid in unknown if not await self._exists(uid)]

    async def _exists(self, uid: str) -> bool:
        try:
            await self._store.get_run(uid)
        except NotFound:
            return False
        return True

    async def _delete_orphans(self) -> int:
        orphans = await self._orphans()
        for uid in orphans:
            await self._values.delete_run(uid)
            await self._logs.delete(uid)
        swept = 0 if self._sweep_artifacts is None else await self._sweep_artifacts()
        return len(orphans) + swept

    # -- backups ---------------------------------------------------------------------------------

    async def backup(self) -> dict[str, Any]:
        """Write a checked copy of the database now; return where it lies and its size."""
        if self._backups is None:
            raise Conflict(
                "this database is not backed up by flowdapt",
                code="store.no_backup",
                fix="use the database's own tool (pg_dump)",
            )
        target = self._backups.new_file(self._clock.now())
        failpoint("backup.before_store")
        size = await self._store.backup(target)
        failpoint("backup.after_store")
        await self._backups.prune()
        return {"path": str(target), "size_bytes": size}

    async def _daily_backup(self) -> None:
        if self._backups is None or not self._keeping.daily_backup:
            return
        newest = await self._backups.newest()
        age_s = float("inf") if newest is None else self._clock.now().timestamp() - newest
        if age_s >= BACKUP_EVERY.total_seconds():
            written = await self.backup()
            log.info("a backup was written", **written)
