"""Decide which events a reader of the journal wants: by type, run, workflow and subject."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from flowdapt.domain.events import Event

__all__ = ["TYPE_PATTERN", "EventFilter", "has_star"]

# A type, or a pattern of one: a star stands for any text, points included. Few, since each one more
# multiplies what a match may cost.
TYPE_PATTERN = r"^([A-Za-z0-9._:/-]*\*){0,3}[A-Za-z0-9._:/-]*$"


@dataclass(frozen=True, slots=True)
class EventFilter:
    """What an event has to be; nothing given means every event.

    `types` are exact or have stars, one of them fits; `run` is a uid; `workflow` stands for the events
    of its runs; `subject` is how the event's own begins.
    """

    types: tuple[str, ...] = ()
    run: str | None = None
    workflow: str | None = None
    subject: str = ""

    def wants(self, event: Event) -> bool:
        """Say whether the event is one of those."""
        return (
            (self.run is None or event.run == self.run)
            and (self.workflow is None or _workflow_of(event) == self.workflow)
            and event.subject.startswith(self.subject)
            and (not self.types or _pattern(self.types).fullmatch(event.type) is not None)
        )


def _workflow_of(event: Event) -> str | None:
    """Return the workflow whose run the event tells of."""
    if event.run is None or not isinstance(event.data, dict):
        return None
    name = event.data.get("workflow")
    return name if isinstance(name, str) else None


def has_star(type_: str) -> bool:
    """Say whether a type is a pattern."""
    return "*" in type_


@lru_cache(maxsize=256)
def _pattern(types: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(".*".join(map(re.escape, one.split("*"))) for one in types))
