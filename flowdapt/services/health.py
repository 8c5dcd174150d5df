"""Tell how the daemon is: what it serves, whether it takes work, and how much disk is left.

Decides nothing about runs; who drains or ends the daemon is told here and asked from here.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from flowdapt.domain.errors import FlowdaptError
from flowdapt.domain.events import DISK_LOW, DISK_RECOVERED, EventDraft
from flowdapt.logs import get_log
from flowdapt.ports.clock import Clock
from flowdapt.ports.store import Store

if TYPE_CHECKING:
    from flowdapt.services.pool import ExecutorPool

__all__ = ["About", "DiskWatch", "Health"]

_DISK_LOOK_S = 30.0
# Screens ask for the state every second or two, and the size of a database changes slowly.
_SIZE_HOLDS_S = 10.0

log = get_log("flowdapt.health")


@dataclass(frozen=True, slots=True)
class About:
    """What does not change while the daemon lives. URLs are without passwords."""

    version: str
    socket: str
    database: str
    broker: str
    artifacts: str
    data_dir: str
    log_file: str | None


class DiskWatch:
    """Watch the free space of the data directory; tell it once when it runs low, once when not."""

    def __init__(self, data: Path, *, warn_bytes: int, min_bytes: int) -> None:
        self._data = data
        self._warn_bytes = warn_bytes
        self.min_bytes = min_bytes
        self.low = False

    def free_bytes(self) -> int:
        return shutil.disk_usage(self._data).free

    def has_room(self) -> bool:
        """Say whether enough is free to begin new work."""
        return self.free_bytes() >= self.min_bytes

    def look(self) -> str | None:
        """Return the type of the event to tell, when the state has changed."""
        low = self.free_bytes() < self._warn_bytes
        if low == self.low:
            return None
        self.low = low
        return DISK_LOW if low else DISK_RECOVERED


class Health:
    """The state of this daemon as clients see it."""

    def __init__(
        self,
        about: About,
        *,
        store: Store,
        clock: Clock,
        executors: ExecutorPool,
        disk: DiskWatch,
        triggers: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self.about = about
        self.services: dict[str, str] = {}
        self._draining = False
        self.ready = False
        self._store = store
        self._clock = clock
        self._executors = executors
        self._disk = disk
        self._triggers = triggers
        self._changed = trio.Event()
        self._began = clock.monotonic()
        self._store_trouble: str | None = None
        self._database_bytes: int | None = None
        self._measured_until = 0.0
        self._troubles: dict[str, str] = {}

    @property
    def draining(self) -> bool:
        """Say whether the daemon begins nothing more."""
        return self._draining

    @draining.setter
    def draining(self, now: bool) -> None:
        self._draining = now
        self._changed.set()
        self._changed = trio.Event()

    async def draining_changed(self) -> None:
        """Return when a drain begins or is taken back."""
        await self._changed.wait()

    @property
    def takes_work(self) -> bool:
        return self.ready and not self.draining

    async def status(self) -> dict[str, Any]:
        """Return the state in the words of `flowdapt status -o json`."""
        about, runs = self.about, await self.open_runs()
        return {
            "version": about.version,
            "pid": os.getpid(),
            "uptime_s": round(self._clock.monotonic() - self._began, 3),
            "socket": about.socket,
            "database": about.database,
            "broker": about.broker,
            "executor": self._executors.figures(self._executors.active),
            "services": dict(self.services),
            "runs": runs,
            "triggers": dict(self._triggers()),
            "draining": self.draining,
            "artifacts": about.artifacts,
            "data_dir": about.data_dir,
            "log_file": about.log_file,
            "free_bytes": self._disk.free_bytes(),
            "database_bytes": await self._size_of_database(),
            "warnings": self.warnings(),
        }

    async def open_runs(self) -> dict[str, int]:
        """Count the open runs by state; a store that does not answer is a warning, not a failure."""
        self._store_trouble = None
        try:
            counts = dict(await self._store.count_runs())
        except FlowdaptError as error:
            self._store_trouble = error.message
            return {}
        return {"queued": 0, "running": 0} | counts

    async def _size_of_database(self) -> int | None:
        """Return the size as it was lately; None while the store does not answer."""
        if self._store_trouble is not None:
            return None
        now = self._clock.monotonic()
        if now >= self._measured_until:
            # Whoever asks meanwhile takes the last one: a slow store is asked once.
            self._measured_until = now + _SIZE_HOLDS_S
            try:
                self._database_bytes = await self._store.size_bytes()
            except (FlowdaptError, OSError):
                self._database_bytes = None
        return self._database_bytes

    def slots(self) -> Mapping[str, tuple[int, int]]:
        """Return (busy, waiting) tasks by executor."""
        return self._executors.load()

    def warnings(self) -> list[str]:
        """Return what a person should see to, in words."""
        found = []
        if self._store_trouble is not None:
            found.append(f"the database does not answer: {self._store_trouble}")
        if self._disk.low:
            free = self._disk.free_bytes() // 1024**2
            found.append(f"only {free} MiB are free on the disk of the data")
        return [*found, *self._troubles.values()]

    def tell(self, part: str, trouble: str | None) -> None:
        """Warn of the trouble that a part has, until it tells that it has none."""
        self._troubles.pop(part, None)
        if trouble is not None:
            self._troubles[part] = trouble

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look at the disk now and then, until cancelled."""
        task_status.started()
        while True:
            event = self._disk.look()
            if event is not None:
                await self._tell(event)
            await self._clock.sleep(_DISK_LOOK_S)

    async def _tell(self, event: str) -> None:
        free = self._disk.free_bytes()
        log.warning("disk space has changed", type=event, free_bytes=free)
        draft = EventDraft(event, "daemon", json.dumps({"free_bytes": free}))
        try:
            await self._store.add_event(draft)
        except FlowdaptError as error:
            log.warning("the event could not be stored", reason=error.message)
