"""Decide how conditions and actions see an event of the journal: in the earlier flowdapt's fields."""

from __future__ import annotations

from typing import Any

from flowdapt.domain.events import Event

__all__ = ["FIELDS", "channel_of", "seen_event"]

FIELDS = (
    "id", "time", "headers", "correlation_id", "channel", "source", "type", "data",
    "subject", "run", "seq", "causation_depth",
)  # fmt: skip
# By the third word of a type, `com.event.workflow.workflow_finished`.
_CHANNELS = {"workflow": "workflows", "resource": "resources", "trigger": "triggers"}
_OTHER_CHANNEL = "events"
_OUR_TYPES = "com.event."


def seen_event(event: Event) -> dict[str, Any]:
    """Return the event as the mapping that paths such as `data.state` are read from.

    `data` is the event's own value, not a copy: do not change it.
    """
    return {
        "id": event.id,
        "time": event.time.isoformat().replace("+00:00", "Z"),
        # Nothing of ours has any; the earlier rules may look at them all the same.
        "headers": {},
        "correlation_id": event.correlation_id,
        "channel": channel_of(event.type),
        "source": event.source,
        "type": event.type,
        "data": event.data,
        "subject": event.subject,
        "run": event.run,
        "seq": event.seq,
        "causation_depth": event.causation_depth,
    }


def channel_of(kind: str) -> str:
    """Return the channel that the earlier flowdapt would have sent such an event over."""
    if not kind.startswith(_OUR_TYPES):
        return _OTHER_CHANNEL
    family = kind.removeprefix(_OUR_TYPES).partition(".")[0]
    return _CHANNELS.get(family, _OTHER_CHANNEL)
