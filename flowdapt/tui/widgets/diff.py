"""Draw what changes between two texts: signs and colours, so that neither alone carries the meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from flowdapt.tui.widgets.safe import safe

if TYPE_CHECKING:
    from flowdapt.tui.app import FlowdaptApp

__all__ = ["coloured_diff"]

_ROLES = (("+++", "head"), ("---", "head"), ("@@", "dim"), ("+", "good"), ("-", "bad"))


def coloured_diff(diff: str, app: FlowdaptApp) -> Text:
    """Return a unified diff as lines with colours."""
    return Text("\n").join(_line(one, app) for one in diff.splitlines())


def _line(text: str, app: FlowdaptApp) -> Text:
    role = next((role for sign, role in _ROLES if text.startswith(sign)), "dim")
    return Text(safe(text), app.style_of(role))
