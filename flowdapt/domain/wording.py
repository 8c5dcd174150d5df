"""Decide how single values are written for people: glyphs of states, ages, durations, sizes, amounts.

The words of CLI and TUI; which columns and colours they stand in is theirs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

__all__ = [
    "STATE_GLYPHS",
    "age",
    "amount",
    "coarse",
    "duration",
    "moment",
    "parsed",
    "short",
    "size",
]

STATE_GLYPHS: Mapping[str, str] = {
    "finished": "✔", "running": "▶", "failed": "✖", "queued": "◌", "pending": "·",
    "cancelling": "▣", "cancelled": "■", "skipped": "\N{MINUS SIGN}", "retrying": "↻",
    "partial": "◐",
}  # fmt: skip
_MOMENT = 0.0005
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def parsed(value: str | None) -> datetime | None:
    if not value:
        return None
    found = datetime.fromisoformat(value)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def moment(value: str | None) -> str:
    """Return an instant to the second, UTC, as RFC 3339 writes it."""
    found = parsed(value)
    return "" if found is None else found.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def age(value: str | None, *, now: datetime | None = None) -> str:
    found = parsed(value)
    if found is None:
        return ""
    return coarse(((now or datetime.now(UTC)) - found).total_seconds())


def coarse(seconds: float) -> str:
    """Return a time span to its leading unit."""
    seconds = max(seconds, 0)
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f}s"
    if seconds < 2 * _HOUR:
        return f"{seconds // _MINUTE:.0f}m"
    if seconds < 2 * _DAY:
        return f"{seconds // _HOUR:.0f}h"
    return f"{seconds // _DAY:.0f}d"


def duration(seconds: float | None) -> str:
    """Return a duration to three digits or so: `38ms`, `4.21s`, `3m12s`, `2h05m`."""
    if seconds is None:
        return ""
    if seconds < _MOMENT:
        return "<1ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    if seconds < _MINUTE:
        return f"{seconds:.2f}s" if seconds < 10 else f"{seconds:.1f}s"  # noqa: PLR2004 - three digits
    minutes, rest = divmod(round(seconds), _MINUTE)
    if minutes < _MINUTE:
        return f"{minutes}m{rest:02d}s"
    hours, minutes = divmod(minutes, _MINUTE)
    return f"{hours}h{minutes:02d}m"


def size(count: float | None) -> str:
    if count is None:
        return ""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:  # noqa: PLR2004 - binary units
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def amount(count: int, one: str, many: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def short(value: Any, limit: int = 60) -> str:
    """Return a value on one line, cut."""
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
