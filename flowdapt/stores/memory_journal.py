"""Keep the journal of a memory store: events in commit order, numbered within each run."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import datetime

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

    def of_run(self, run: RunRecord, drafts: Sequence[EventDraft]) -> None:
        """Add events of a run and count its `next_seq` up."""
        for draft in drafts:
            self.add(draft, run.uid, run.next_seq)
            run.next_seq += 1

    def add(self, draft: EventDraft, run: str | None = None, seq: int | None = None) -> Event:
        self._cursor += 1
        event = Event(
            cursor=self._cursor,
            id=os.urandom(16).hex(),
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
        return event

    def after(self, cursor: int, run: str | None, types: Sequence[str], limit: int) -> list[Event]:
        found = (
            event
            for event in self._events
            if event.cursor > cursor
            and (run is None or event.run == run)
            and (not types or event.type in types)
        )
        return [event for event, _ in zip(found, range(limit), strict=False)]

    def of(self, run: str) -> list[Event]:
        return [event for event in self._events if event.run == run]

    def forget(self, run: str) -> None:
        self._events = [event for event in self._events if event.run != run]

    def forget_before(self, when: datetime) -> None:
        """Drop old events that belong to no run; those of a run go with it."""
        self._events = [e for e in self._events if e.run is not None or e.time >= when]
