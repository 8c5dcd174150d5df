"""Views that are not built yet, each told as that; `catalogue` names them until they are."""

from __future__ import annotations

from textual.app import ComposeResult

from flowdapt.tui.screens.view import View
from flowdapt.tui.widgets.safe import SafeText

__all__ = [
    "Artifacts",
    "Configs",
    "Events",
    "Executors",
    "Plugins",
    "System",
    "Triggers",
    "Workflows",
]


class _Unbuilt(View):
    command = ""
    AUTO_FOCUS = ""

    def body(self) -> ComposeResult:
        yield SafeText(f"\n  This view is not built yet. Meanwhile:  {self.command}")


class Workflows(_Unbuilt):
    """The view of workflows, key 2."""

    KEYS, view, title_words, command = (), "workflows", "workflows", "flowdapt get workflows"


class Triggers(_Unbuilt):
    """The view of triggers, key 4."""

    KEYS, view, title_words, command = (), "triggers", "triggers", "flowdapt trigger ls"


class Configs(_Unbuilt):
    """The view of configs, key 5."""

    KEYS, view, title_words, command = (), "configs", "configs", "flowdapt get configs"


class Executors(_Unbuilt):
    """The view of executors, key 6."""

    KEYS, view, title_words, command = (), "executors", "executors", "flowdapt executor ls"


class Events(_Unbuilt):
    """The view of events, key 7."""

    KEYS, view, title_words, command = (), "events", "events", "flowdapt events"


class Artifacts(_Unbuilt):
    """The view of artifacts, key 8."""

    KEYS, view, title_words, command = (), "artifacts", "artifacts", "flowdapt artifact ls"


class Plugins(_Unbuilt):
    """The view of plugins, key 9."""

    KEYS, view, title_words, command = (), "plugins", "plugins", "flowdapt plugin ls"


class System(_Unbuilt):
    """The view of system, key 0."""

    KEYS, view, title_words, command = (), "system", "system", "flowdapt status"
