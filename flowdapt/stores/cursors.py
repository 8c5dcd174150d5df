"""Decide what a paging cursor is: the key of the last row, opaque to whoever carries it."""

from __future__ import annotations

import base64
import json
from typing import Any

from flowdapt.domain.errors import InvalidInput

__all__ = ["PAGE_MAX", "page_size", "read_cursor", "write_cursor"]

PAGE_MAX = 500


def page_size(limit: int) -> int:
    """Return the size within bounds."""
    return max(1, min(limit, PAGE_MAX))


def write_cursor(kind: str, *key: str | float | None) -> str:
    """Return a cursor; `kind` keeps that of one list from being used on another."""
    text = json.dumps([kind, *key], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(kind: str, cursor: str, *types: type) -> list[Any]:
    """Return the key of a cursor. Raise InvalidInput for one that is not of this list."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        parts = json.loads(base64.urlsafe_b64decode(padded.encode("ascii")))
        fits = isinstance(parts, list) and len(parts) == len(types) + 1 and parts[0] == kind
    except (ValueError, RecursionError):
        fits, parts = False, []
    if not fits or not all(_fits(p, t) for p, t in zip(parts[1:], types, strict=True)):
        raise InvalidInput(
            "the cursor is not one of this list",
            fix="begin again without a cursor",
            code="cursor.invalid",
        )
    return list(parts[1:])


def _fits(part: object, wanted: type) -> bool:
    return part is None or (isinstance(part, wanted) and not isinstance(part, bool))
