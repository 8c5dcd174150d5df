"""Decide which events a list holds: the newest, live, as many as one can look through; and what caused what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

__all__ = ["EventWindow", "about", "causes", "effects", "kind_of"]

MOST = 2000
_PREFIX = "com.event."
_FIRED = "trigger.fired"
_DEEPEST = 16
Event = Mapping[str, Any]


def kind_of(event: Event) -> str:
    """Return an event's type without what all of ours begin with."""
    return str(event.get("type", "")).removeprefix(_PREFIX)


def about(event: Event) -> str:
    """Return in a few words what an event is about."""
    data = event.get("data")
    found = data if isinstance(data, Mapping) else {}
    named = [found.get(key) for key in ("name", "workflow", "stage", "rule", "executor", "state", "reason")]  # fmt: skip
    words = [str(one) for one in named if one not in (None, "")]
    error = found.get("error")
    if isinstance(error, Mapping):
        words.append(f"{error.get('type', '')}: {error.get('message', '')}")
    return "  ".join(words) or str(event.get("subject") or "")


@dataclass(slots=True)
class EventWindow:
    """The newest events that fit the filter, the newest first; held still while somebody reads."""

    sought: str = ""
    held: bool = False
    waiting: int = 0
    _events: dict[int, Event] = field(default_factory=dict)

    @property
    def rows(self) -> list[Event]:
        return [event for event in reversed(self._events.values()) if self._fits(event)]

    def find(self, cursor: int) -> Event | None:
        return self._events.get(cursor)

    @property
    def known(self) -> list[Event]:
        """Return all events that are held, the oldest first."""
        return list(self._events.values())

    def take(self, events: Iterable[Event]) -> None:
        """Take the newest events as they were read."""
        self._events = {}
        self._add(events)
        self.waiting = 0

    def apply(self, events: Iterable[Event]) -> bool:
        """Take live events; say whether what is shown changes."""
        new = [event for event in events if isinstance(event.get("cursor"), int)]
        fitting = sum(map(self._fits, new))
        if self.held:
            self.waiting += fitting
            return False
        self._add(new)
        return fitting > 0

    def _add(self, events: Iterable[Event]) -> None:
        for event in sorted(events, key=lambda one: int(one["cursor"])):
            self._events.setdefault(int(event["cursor"]), event)
        while len(self._events) > MOST:
            del self._events[next(iter(self._events))]

    def _fits(self, event: Event) -> bool:
        """Say whether an event has every word: a pattern of its type, or a part of what it is about."""
        kind, words = kind_of(event).lower(), f"{kind_of(event)} {about(event)} {event.get('subject')}".lower()  # fmt: skip
        return all(
            fnmatchcase(kind, one) if "*" in one else one in words
            for one in self.sought.lower().split()
        )


def causes(event: Event, known: Iterable[Event]) -> list[Event]:
    """Return what led to an event, the nearest first: the fire that started its run, what that saw, and so on."""
    by_cursor = {one.get("cursor"): one for one in known}
    fires = [one for one in by_cursor.values() if kind_of(one) == _FIRED]
    found: list[Event] = []
    at: Event | None = event
    while at is not None and len(found) < _DEEPEST:
        at = _cause(at, fires, by_cursor)
        if at is None or at in found:
            break
        found.append(at)
    return found


def _cause(event: Event, fires: Iterable[Event], by_cursor: Mapping[Any, Event]) -> Event | None:
    if kind_of(event) == _FIRED:
        return by_cursor.get(_data(event).get("event_cursor"))
    run = event.get("run")
    return next((one for one in fires if run and run in _data(one).get("runs", ())), None)


def effects(event: Event, known: Iterable[Event]) -> list[Event]:
    """Return what an event led to, in order: the rules that it fired, the runs that these started."""
    held = list(known)
    fires = [one for one in held if kind_of(one) == _FIRED]
    if kind_of(event) == _FIRED:
        fired = [event]
    else:
        fired = [one for one in fires if _data(one).get("event_cursor") == event.get("cursor")]
    runs = {run for one in fired for run in _data(one).get("runs", ())}
    started = [one for one in held if one.get("run") in runs and _tells_a_state(one)]
    return [*(one for one in fired if one is not event), *started]


def _tells_a_state(event: Event) -> bool:
    return kind_of(event) in {"workflow.workflow_started", "workflow.workflow_finished"}


def _data(event: Event) -> Mapping[str, Any]:
    data = event.get("data")
    return data if isinstance(data, Mapping) else {}
