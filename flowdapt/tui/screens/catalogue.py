"""Decide which views there are and where each lives; nothing of them is imported before it is shown."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from flowdapt.domain.errors import NotFound

if TYPE_CHECKING:
    from flowdapt.tui.screens.view import View

__all__ = ["DETAILS", "VIEWS", "make_detail", "make_view"]

# In the order of the keys 1 to 9 and 0.
VIEWS = {
    "pulse": "pulse:Pulse",
    "workflows": "workflows:Workflows",
    "runs": "runs:Runs",
    "triggers": "triggers:Triggers",
    "configs": "configs:Configs",
    "executors": "executors:Executors",
    "events": "events:Events",
    "artifacts": "artifacts:Artifacts",
    "plugins": "plugins:Plugins",
    "system": "system:System",
}

# Screens about one thing; what they are made with is theirs to say.
DETAILS: dict[str, str] = {
    "run": "run_detail:RunDetail",
    "workflow": "workflows:Workflow",
    "trigger": "triggers:Trigger",
    "artifact": "artifacts:Artifact",
}


def make_view(name: str) -> View:
    """Return a new screen of a view."""
    return _made(VIEWS[name])


def make_detail(kind: str, *about: str) -> View:
    """Return a new screen about one thing. Raise NotFound for a kind that has none."""
    if kind not in DETAILS:
        raise NotFound(
            f"there is no screen for a {kind} yet", fix=f"flowdapt describe {kind} {about[0]}"
        )
    return _made(DETAILS[kind], *about)


def _made(place: str, *about: str) -> View:
    module, _, kind = place.partition(":")
    made: View = getattr(import_module(f"flowdapt.tui.screens.{module}"), kind)(*about)
    return made
