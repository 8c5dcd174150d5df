"""Promise durable state: resources, runs, journal. The docstrings are the contract (`StoreContract`).

Every method may wait for a thread or a server, so none may be called with a lock held. A method
cancelled before its commit began changes nothing; once the commit began it completes, and the caller
learns the result by reading again. Raised: NotFound, Conflict and its kind, StoreBusy, StorageFull,
Unavailable; never a driver's own exception. Lists are newest first unless said otherwise and are
keyset-paged: the cursor is opaque, a page holds at most 500.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

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
from flowdapt.ports.profiles import ProfileStore
from flowdapt.ports.triggers import TriggerStore

__all__ = ["LoadedRun", "MetricSeries", "Page", "ResourceWrite", "RunFilter", "Store", "StoreInfo"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list; `next` is the cursor of the following one, None at the end."""

    items: list[T]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class ResourceWrite:
    """One validated document to store.

    `if_revision`: fail with StaleRevision unless it is the current one (0: must not exist).
    """

    resource: Resource
    if_revision: int | None = None


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs to list. `q` matches name or uid prefix or workflow substring; `labels` all match.

    `trigger` is the rule that started them. `longer_s` and `shorter_s` choose runs that have
    ended by how long they took. `sort` is one of created (default), started, finished,
    duration, each with an optional leading `-` for descending (`-created` is the default).
    """

    states: frozenset[str] = frozenset()
    workflow: str | None = None
    namespace: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    q: str | None = None
    labels: Mapping[str, str] | None = None
    parent: str | None = None
    trigger: str | None = None
    longer_s: float | None = None
    shorter_s: float | None = None
    sort: str = "-created"


@dataclass(slots=True)
class LoadedRun:
    """A run with everything its owner needs to go on where it stands."""

    run: RunRecord
    stages: list[StageRecord]
    tasks: list[TaskRecord]
    items: list[ItemRecord]


@dataclass(frozen=True, slots=True)
class MetricSeries:
    """One metric of one stage of a run; points are (step, value, UTC seconds), by step."""

    stage: str
    name: str
    index: int | None
    points: list[tuple[int, float, float]]


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """What a store says of itself. `incarnation` changes when a backup is restored."""

    url: str
    schema: str
    incarnation: str
    size_bytes: int
    runs: Mapping[str, int]


class Store(TriggerStore, ProfileStore):
    """Resources, runs, the journal and executor profiles, in one place with transactions."""

    # -- life ------------------------------------------------------------------------------------

    @abstractmethod
    async def open(self) -> None:
        """Migrate (after a backup) and be ready. Raise StartRefused's kinds as things are."""

    @abstractmethod
    async def close(self) -> None:
        """Write out what was accepted, checkpoint, let go of the files. Idempotent."""

    @abstractmethod
    async def info(self) -> StoreInfo: ...

    @abstractmethod
    async def size_bytes(self) -> int:
        """Return what the database takes up, 0 where it is in memory only; cheap at any size."""

    # -- resources ---------------------------------------------------------------------------------

    @abstractmethod
    async def apply(
        self, writes: Sequence[ResourceWrite], *, dry_run: bool = False
    ) -> list[Applied]:
        """Store all or none, durably; an unchanged document makes no new revision.

        Equality is of (annotations, spec) in canonical JSON. Each change writes its event. `diff`
        of the answers is empty: the service makes it.
        """

    @abstractmethod
    async def get_resource(self, kind: Kind, name: str, *, revision: int | None = None) -> Resource:
        """Return the current (or that) revision. Raise NotFound."""

    async def find_resource(self, kind: Kind, name: str) -> Resource | None:
        """Return the current revision, or None."""
        from flowdapt.domain.errors import NotFound

        try:
            return await self.get_resource(kind, name)
        except NotFound:
            return None

    @abstractmethod
    async def list_resources(
        self,
        kind: Kind,
        *,
        annotations: Mapping[str, str] | None = None,
        q: str | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[Resource]:
        """List by name, ascending."""

    @abstractmethod
    async def list_revisions(
        self, kind: Kind, name: str, *, cursor: str | None = None, limit: int = 100
    ) -> Page[Resource]: ...

    @abstractmethod
    async def delete_resource(
        self, kind: Kind, name: str, *, if_revision: int | None = None
    ) -> Applied:
        """Delete; revisions that runs refer to by copy are not needed any more. Raise NotFound."""

    # -- runs --------------------------------------------------------------------------------------

    @abstractmethod
    async def submit(self, new: NewRun) -> Submission:
        """Store run, stages and events in ONE durable transaction, then answer.

        With an idempotency key used before on this workflow: the same body_digest returns the old
        run (`created` False), another raises KeyReused. More than `max_queued` queued runs raise
        QueueFull. When `max_runs` open runs exist: `queue` stores it queued and without an owner,
        `skip` stores it cancelled (reason `skipped`), `replace` requests the cancel of the open
        ones (reason `replaced`) and stores it queued. `run.number` is filled in.
        """

    @abstractmethod
    async def claim(self, owner: str, *, limit: int) -> list[LoadedRun]:
        """Take queued runs in order of (priority desc, number), and open ones without an owner.

        Sets owner, epoch + 1, and state running for queued ones (with `started_at` and their
        started event, durable). Never takes a queued run whose workflow is at its `max_runs`.
        """

    @abstractmethod
    async def reclaim(self, owner: str, *, dead: Sequence[str]) -> list[LoadedRun]:
        """Take over the open runs of dead owners: epoch + 1; stage runs stay as they are."""

    @abstractmethod
    async def commit(self, change: RunChange) -> None:
        """Write one step of a run, all or nothing; durable when `change.durable`.

        Compare-and-set on (uid, epoch, not terminal); raise StaleEpoch when it does not hold.
        Commits of one run take effect in the order of the calls. What waits when a commit begins
        shares it.
        """

    @abstractmethod
    async def release(self, owner: str) -> int:
        """Let go of the owner's open runs (drain): owner None, running stages pending."""

    @abstractmethod
    async def request_cancel(self, uid: str, reason: str) -> RunRecord:
        """Note the wish to cancel, durably.

        A queued run is cancelled at once, with its event; a terminal one is left as it is. Raise
        NotFound.
        """

    @abstractmethod
    async def get_run(self, ident: str) -> RunRecord:
        """Return by uid, by name, or by a unique prefix (>= 6) of either.

        Raise NotFound; Conflict when the prefix fits several.
        """

    @abstractmethod
    async def load_run(self, uid: str) -> LoadedRun: ...

    @abstractmethod
    async def list_runs(
        self, where: RunFilter, *, cursor: str | None = None, limit: int = 100
    ) -> Page[RunRecord]:
        """List by `where.sort`. `definition`, `config`, `input` and `result` are left out.

        A run that has not come so far (no `started_at`, no `finished_at`) sorts as the oldest.
        """

    @abstractmethod
    async def list_stages(self, uid: str) -> list[StageRecord]:
        """Return the stages in the order of the definition."""

    @abstractmethod
    async def list_tasks(
        self,
        uid: str,
        stage: str,
        *,
        state: str | None = None,
        cursor: str | None = None,
        limit: int = 500,
    ) -> Page[TaskRecord]:
        """List ended attempts by (start, attempt), ascending."""

    @abstractmethod
    async def list_items(
        self,
        uid: str,
        stage: str,
        *,
        state: str | None = None,
        cursor: str | None = None,
        limit: int = 500,
    ) -> Page[ItemRecord]:
        """List the kept item records by index, ascending."""

    @abstractmethod
    async def delete_run(self, uid: str) -> None:
        """Delete a terminal run whole (rows only). Raise NotFound, RunNotTerminal."""

    @abstractmethod
    async def count_runs(self) -> Mapping[str, int]:
        """Return how many runs are in each open state; cheap at any size."""

    # -- metrics, journal, housekeeping --------------------------------------------------------------

    @abstractmethod
    async def add_metrics(self, uid: str, points: Sequence[tuple[str, MetricPoint]]) -> None:
        """Store (stage, point) pairs; not durable at once; a later point of the same step wins."""

    @abstractmethod
    async def get_metrics(
        self, uid: str, *, stage: str | None = None, name: str | None = None
    ) -> list[MetricSeries]: ...

    @abstractmethod
    async def add_event(self, event: EventDraft) -> Event:
        """Write an event of its own, durably. Repeated with the same `id` it is the old one."""

    @abstractmethod
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
        """List by cursor, ascending, those after the cursor (and written at or after `since`).

        `types`, `workflow` and `subject` choose as in `domain.event_filter`. With `newest` the last
        ones come in place of the first, in the same order.
        """

    @abstractmethod
    async def beat(self, owner: str, about: Mapping[str, Any]) -> None:
        """Renew (or make) the owner's heartbeat row, in the database's time."""

    @abstractmethod
    async def dead_owners(self, *, lease_s: float, but: str) -> list[str]:
        """Return the owners of open runs whose heartbeat is older than the lease, except `but`.

        With `lease_s` 0 every other owner is dead (single daemon per data directory).
        """

    @abstractmethod
    async def delete_expired(
        self, *, older_than: datetime, keep_per_workflow: int, limit: int
    ) -> list[str]:
        """Delete up to `limit` whole terminal runs that finished before; return their uids.

        Never the newest `keep_per_workflow` of a workflow. A run's events go with it, older events of
        no run as well.
        """

    @abstractmethod
    async def backup(self, target: Path) -> int:
        """Write a checked, consistent copy (temporary name, fsync, rename, 0600); return its bytes."""

    @abstractmethod
    async def check(self) -> list[str]:
        """Return every broken invariant of the rows, in words; empty when all hold."""
