"""Decide how a run or stage is written in a cell: state, style, preview; plain values are `wording`'s."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flowdapt.domain.wording import STATE_GLYPHS, short

__all__ = ["preview", "shown_state", "state_style", "state_word"]

_STATE_STYLES: Mapping[str, str] = {
    "finished": "good", "running": "busy", "failed": "bad", "queued": "dim", "pending": "dim",
    "cancelling": "warn", "cancelled": "warn", "skipped": "dim", "retrying": "warn",
    "partial": "warn",
}  # fmt: skip
_PREVIEW = 200


def shown_state(found: Mapping[str, Any]) -> str:
    """Return the word of a run's or stage's state; a partial success has one of its own."""
    return "partial" if found.get("partial") else str(found.get("state", ""))


def state_word(found: Mapping[str, Any]) -> str:
    word = shown_state(found)
    return f"{STATE_GLYPHS.get(word, '?')} {word}"


def state_style(found: Mapping[str, Any]) -> str | None:
    return _STATE_STYLES.get(shown_state(found))


def preview(found: Any) -> str:
    """Return what a worker told of a value that is not JSON: `list of 5: [(1, 2), …]`."""
    if not isinstance(found, Mapping):
        return short(found, _PREVIEW)
    about = str(found.get("type", "")).removeprefix("builtins.")
    if found.get("length") is not None:
        about += f" of {found['length']:,}"
    for name in ("shape", "dtype", "columns"):
        if found.get(name) is not None:
            about += f" {short(found[name])}"
    head = found.get("head")
    return about if head is None else f"{about}: {short(head, _PREVIEW)}"
