"""What a screen is told when something changed: which parts, which runs, and the events behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["ALL", "EVENTS", "LINK", "RESOURCES", "RUNS", "TRIGGERS", "News", "news_of"]

LINK, RUNS, TRIGGERS, RESOURCES, EVENTS, SYSTEM = (
    "link", "runs", "triggers", "resources", "events", "system",
)  # fmt: skip
# Everything is to be read again: the connection is new, or events were left out.
ALL = "all"

_PARTS = {
    "com.event.workflow.": RUNS,
    "com.event.trigger.": TRIGGERS,
    "com.event.resource.": RESOURCES,
    "com.event.system.": SYSTEM,
    "com.event.executor.": SYSTEM,
}


@dataclass(frozen=True, slots=True)
class News:
    """What changed at once (at most ten a second). `events` are in the order of the journal."""

    parts: frozenset[str]
    events: tuple[Mapping[str, Any], ...] = ()

    def touches(self, *parts: str) -> bool:
        return ALL in self.parts or not self.parts.isdisjoint(parts)

    @property
    def runs(self) -> frozenset[str]:
        """Return the uids of the runs that the events are about."""
        return frozenset(str(one["run"]) for one in self.events if one.get("run"))


def news_of(events: list[Mapping[str, Any]]) -> News:
    """Return what a batch of events changes."""
    parts = {EVENTS}
    for event in events:
        kind = str(event.get("type", ""))
        parts |= {part for prefix, part in _PARTS.items() if kind.startswith(prefix)}
    return News(frozenset(parts), tuple(events))
