"""Decide what every store says of resources: the events of their changes, and which a list asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flowdapt.domain.events import EventDraft
from flowdapt.domain.resource import Applied

__all__ = ["resource_event", "selected"]


def resource_event(type_: str, applied: Applied) -> EventDraft:
    data = {
        "kind": applied.kind,
        "name": applied.name,
        "action": applied.action,
        "revision": applied.revision,
    }
    return EventDraft(type_, f"{applied.kind}/{applied.name}", json.dumps(data))


def selected(
    name: str, has: Mapping[str, Any], annotations: Mapping[str, str] | None, q: str | None
) -> bool:
    """Say whether a resource is asked for: `q` is part of its name, the annotations all match."""
    if q and q not in name:
        return False
    return all(
        key in has and _as_text(has[key]) == value for key, value in (annotations or {}).items()
    )


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
