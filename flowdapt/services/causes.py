"""Say which trigger rule, instant or event started a run, and what had started that: the chain of causes.

Read from the journal, where a fire is told beside the first event of the run that it starts; what
retention has taken away is left out.
"""

from __future__ import annotations

from typing import Any

from flowdapt.domain.errors import NotFound
from flowdapt.domain.events import TRIGGER_FIRED, Event
from flowdapt.domain.fire import MAX_DEPTH
from flowdapt.domain.records import RunRecord
from flowdapt.domain.run import Reason
from flowdapt.ports.store import Store

__all__ = ["causes_of"]

# Fires of other rules that may be told between a run's first event and its own fire.
_BETWEEN = 20


async def causes_of(store: Store, run: RunRecord) -> list[Reason]:
    """Return what started the run, then what started that; empty when no rule had part in it."""
    found: list[Reason] = []
    while run.trigger_rule is not None and len(found) <= MAX_DEPTH:
        fire = await _fire_of(store, run)
        event = await _event_of(store, fire)
        found.append(_told(run, fire, event))
        before = await _run_of(store, event)
        if before is None:
            break
        run = before
    return found


async def _fire_of(store: Store, run: RunRecord) -> dict[str, Any]:
    first = await store.list_events(run=run.uid, limit=1)
    after = first[0].cursor if first else None
    for _ in range(_BETWEEN if after is not None else 0):
        told = await store.list_events(after=after or 0, types=[TRIGGER_FIRED], limit=1)
        if not told:
            break
        if run.uid in told[0].data.get("runs", ()):
            return dict(told[0].data)
        after = told[0].cursor
    return {}


async def _event_of(store: Store, fire: dict[str, Any]) -> Event | None:
    cursor = fire.get("event_cursor")
    if cursor is None:
        return None
    found = await store.list_events(after=cursor - 1, limit=1)
    return found[0] if found and found[0].cursor == cursor else None


async def _run_of(store: Store, event: Event | None) -> RunRecord | None:
    if event is None or event.run is None:
        return None
    try:
        return await store.get_run(event.run)
    except NotFound:
        return None


def _told(run: RunRecord, fire: dict[str, Any], event: Event | None) -> Reason:
    rule = run.trigger_rule
    return Reason(
        subject=f"run {run.name}",
        code="run.triggered",
        message=f"trigger rule {rule!r} started it{_since(fire, event)}",
        fix=f"flowdapt trigger history {rule}",
    )


def _since(fire: dict[str, Any], event: Event | None) -> str:
    words = ", by hand" if fire.get("kind") == "manual" else ""
    if fire.get("scheduled_at"):
        words += f" for {fire['scheduled_at']}"
    if event is not None:
        words += f" for event {event.cursor}, {event.type.removeprefix('com.event.')}"
        words += f" of {event.data.get('name', event.subject)}" if event.run else ""
    elif fire.get("event_cursor"):
        words += f" for event {fire['event_cursor']}, which is not kept any more"
    late = {"caught_up": ", which was made up for", "waited": ", when an open run had ended"}
    return words + late.get(fire.get("reason") or "", "")
