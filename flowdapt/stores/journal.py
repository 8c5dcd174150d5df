"""Write and read what stands beside runs: events, metrics, heartbeats."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from flowdapt.domain.events import Event, EventDraft
from flowdapt.domain.task import MetricPoint
from flowdapt.ports.store import MetricSeries
from flowdapt.stores import prepared as sql
from flowdapt.stores.links import Tx
from flowdapt.stores.records import event_from_row, event_row, metric_row

__all__ = [
    "JOURNAL",
    "PAGE_MAX",
    "add_event",
    "beat",
    "dead_owners",
    "get_cursor",
    "move_cursor",
    "newest_cursor",
    "series",
    "write_events",
    "write_metrics",
    "write_own",
]

PAGE_MAX = 500


# Whoever holds it numbers the next events: a lower cursor is never committed after a higher one, so
# that a reader who goes on from a cursor misses nothing.
JOURNAL = "journal"


def write_events(tx: Tx, run_id: int, first_seq: int, events: Sequence[EventDraft]) -> None:
    """Write events of a run, numbered from `first_seq`."""
    if not events:
        return
    now = tx.now()
    rows = [
        event_row(draft, os.urandom(16).hex(), now, run_id, first_seq + at)
        for at, draft in enumerate(events)
    ]
    tx.journal(rows)


def add_event(tx: Tx, draft: EventDraft) -> Event:
    """Write an event that belongs to no run; one whose id was written before is the old one."""
    if draft.id is not None:
        tx.lock(f"event {draft.id}")
        old = tx.one(sql.OWN_EVENT, (draft.id,))
        if old is not None:
            return event_from_row(old)
    row = _own_row(tx, draft)
    tx.lock(JOURNAL)
    return event_from_row((tx.add(sql.INSERT_EVENT, row), *row))


def write_own(tx: Tx, drafts: Sequence[EventDraft]) -> None:
    """Write events that belong to no run."""
    if drafts:
        tx.journal([_own_row(tx, draft) for draft in drafts])


def _own_row(tx: Tx, draft: EventDraft) -> tuple[Any, ...]:
    return event_row(draft, draft.id or os.urandom(16).hex(), tx.now(), None, None)


def get_cursor(tx: Tx, consumer: str) -> int | None:
    """Return how far a consumer has read."""
    row = tx.one(sql.GET_CONSUMER, (consumer,))
    return None if row is None else int(row[0])


def move_cursor(tx: Tx, consumer: str, cursor: int) -> None:
    """Note how far a consumer has read; never back."""
    old = get_cursor(tx, consumer)
    if old is None or cursor > old:
        tx.run(sql.PUT_CONSUMER, (consumer, cursor))


def newest_cursor(tx: Tx, since: int | None) -> int:
    """Return the newest cursor, or the last before the events without a run since an instant."""
    if since is not None:
        row = tx.one(sql.FIRST_SINCE, (since,))
        if row is not None:
            return int(row[0]) - 1
    row = tx.one(sql.NEWEST_CURSOR)
    return int(row[0]) if row else 0


def write_metrics(tx: Tx, run_id: int, points: Sequence[tuple[str, MetricPoint]]) -> None:
    """Write points; the last of the same step wins, also within one call."""
    rows = {row[:5]: row for row in (metric_row(run_id, stage, point) for stage, point in points)}
    if rows:
        tx.many(sql.PUT_METRIC, list(rows.values()))


def series(
    tx: Tx, run_id: int, stage: str | None = None, name: str | None = None
) -> list[MetricSeries]:
    """Return the metrics of a run, points by step."""
    found: dict[tuple[str, str, int], MetricSeries] = {}
    for row in tx.all(sql.LIST_METRICS, (run_id,)):
        _, of_stage, of_name, index, step, value, time = row
        if (stage is not None and of_stage != stage) or (name is not None and of_name != name):
            continue
        key = (of_stage, of_name, index)
        if key not in found:
            found[key] = MetricSeries(of_stage, of_name, None if index < 0 else index, [])
        found[key].points.append((step, value, time))
    return list(found.values())


def beat(tx: Tx, owner: str, about: Mapping[str, Any]) -> None:
    tx.run(sql.PUT_SERVICE, (owner, tx.now(), json.dumps(about, default=str)))


def dead_owners(tx: Tx, lease_s: float, but: str) -> list[str]:
    """Return owners of open runs that have not beaten within the lease; never `but`."""
    beats = {row[0]: row[1] for row in tx.all(sql.LIST_SERVICES)}
    oldest = tx.now() - int(lease_s * 1_000_000)
    owners = [str(row[0]) for row in tx.all(sql.OWNERS) if row[0] != but]
    return [owner for owner in owners if not lease_s or beats.get(owner, 0) < oldest]
