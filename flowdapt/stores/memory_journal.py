"""Keep the journal of a memory store: events in commit order, numbered within each run."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import datetime

from flowdapt.domain.event_filter import EventFilter
from flowdapt.domain.events import Event, EventDraft
from flowdapt.domain.records import RunRecord
from flowdapt.ports.clock import Clock

__all__ = ["MemoryJournal"]


class MemoryJournal:
    """The events of one store. `cursor` never goes back, also after deletions."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._cursor = 0
        self._events: list[Event] = []
        # Those whose sender gave the id.
        self._known: dict[str, Event] = {}

    def of_run(self, run: RunRecord, drafts: Sequence[EventDraft]) -> None:
        """Add events of a run and count its `next_seq` up."""
        for draft in drafts:
            self.add(draft, run.uid, run.next_seq)
            run.next_seq += 1

    def add(self, draft: EventDraft, run: str | None = None, seq: int | None = None) -> Event:
        old = self._known.get(draft.id) if draft.id is not None else None
        if old is not None:
            return old
        self._cursor += 1
        event = Event(
            cursor=self._cursor,
            id=draft.id or os.urandom(16).hex(),
            time=self._clock.now(),
            type=draft.type,
            source=draft.source,
            subject=draft.subject,
            run=run,
            seq=seq,
            correlation_id=draft.correlation_id,
            causation_depth=draft.causation_depth,
            data=json.loads(draft.data),
        )
        self._events.append(event)
        if draft.id is not None:
            self._known[draft.id] = event
        return event

    def newest(self, since: datetime | None) -> int:
        """Return the newest cursor, or the last before the events without a run since an instant."""
        if since is not None:
            for event in self._events:
                if event.run is None and event.time >= since:
                    return event.cursor - 1
        return self._events[-1].cursor if self._events else 0

    def after(self, cursor: int, where: EventFilter, since: datetime | None) -> list[Event]:
        return [
            event
            for event in self._events
            if event.cursor > cursor
            and (since is None or event.time >= since)
            and where.wants(event)
        ]

    def of(self, run: str) -> list[Event]:
        return [event for event in self._events if event.run == run]

    def forget(self, run: str) -> None:
        self._events = [event for event in self._events if event.run != run]

    def forget_before(self, when: datetime) -> None:
        """Drop old events that belong to no run; those of a run go with it."""
        self._events = [e for e in self._events if e.run is not None or e.time >= when]
        self._known = {ident: e for ident, e in self._known.items() if e.time >= when}
