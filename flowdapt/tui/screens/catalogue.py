"""Decide which views there are and where each lives; nothing of them is imported before it is shown."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flowdapt.tui.screens.view import View

__all__ = ["VIEWS", "make_view"]

# In the order of the keys 1 to 9 and 0.
VIEWS = {
    "pulse": "pulse:Pulse",
    "workflows": "placeholder:Workflows",
    "runs": "runs:Runs",
    "triggers": "placeholder:Triggers",
    "configs": "placeholder:Configs",
    "executors": "placeholder:Executors",
    "events": "placeholder:Events",
    "artifacts": "placeholder:Artifacts",
    "plugins": "placeholder:Plugins",
    "system": "placeholder:System",
}


def make_view(name: str) -> View:
    """Return a new screen of a view."""
    module, _, kind = VIEWS[name].partition(":")
    made: View = getattr(import_module(f"flowdapt.tui.screens.{module}"), kind)()
    return made
