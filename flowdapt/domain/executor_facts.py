"""Decide how executors are told in the journal: their life, their outages, the switch, their size."""

from __future__ import annotations

import json
from typing import Any

from flowdapt.domain.events import (
    EXECUTOR_ADDED,
    EXECUTOR_AVAILABLE,
    EXECUTOR_REMOVED,
    EXECUTOR_SCALED,
    EXECUTOR_STARTED,
    EXECUTOR_STOPPED,
    EXECUTOR_SWITCHED,
    EXECUTOR_UNAVAILABLE,
    EventDraft,
)

__all__ = [
    "executor_added",
    "executor_available",
    "executor_removed",
    "executor_scaled",
    "executor_started",
    "executor_stopped",
    "executor_switched",
    "executor_unavailable",
]

_REASON_MAX_CHARS = 1000


def executor_started(name: str, kind: str, slots: int | None) -> EventDraft:
    """Return the event of an executor that takes tasks."""
    return _of(EXECUTOR_STARTED, name, kind=kind, slots=slots)


def executor_stopped(name: str, kind: str, slots: int | None) -> EventDraft:
    """Return the event of one that was closed in order."""
    return _of(EXECUTOR_STOPPED, name, kind=kind, slots=slots)


def executor_unavailable(name: str, kind: str, reason: str) -> EventDraft:
    """Return the event of an outage that begins."""
    return _of(EXECUTOR_UNAVAILABLE, name, kind=kind, reason=reason[:_REASON_MAX_CHARS])


def executor_available(name: str, kind: str, away_s: float) -> EventDraft:
    """Return the event of an outage that is over."""
    return _of(EXECUTOR_AVAILABLE, name, kind=kind, away_s=round(away_s, 3))


def executor_scaled(
    name: str, kind: str, workers: tuple[int, int], bounds: tuple[int, int | None]
) -> EventDraft:
    """Return the event of an executor that grew or shrank by itself."""
    before, after = workers
    told: dict[str, Any] = {"from": before, "to": after, "minimum": bounds[0], "maximum": bounds[1]}
    return _of(EXECUTOR_SCALED, name, kind=kind, **told)


def executor_switched(name: str, previous: str) -> EventDraft:
    """Return the event of the pointer that has moved."""
    return _of(EXECUTOR_SWITCHED, name, previous=previous)


def executor_added(name: str, kind: str) -> EventDraft:
    """Return the event of a new profile; its options may be private and are not told."""
    return _of(EXECUTOR_ADDED, name, kind=kind)


def executor_removed(name: str, kind: str) -> EventDraft:
    """Return the event of a profile that is gone."""
    return _of(EXECUTOR_REMOVED, name, kind=kind)


def _of(type_: str, name: str, **data: Any) -> EventDraft:
    text = json.dumps({"name": name, **data}, ensure_ascii=False)
    return EventDraft(type_, f"executor/{name}", text, correlation_id=name)
