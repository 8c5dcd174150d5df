"""The first screen: what runs, what failed, what is about to fire, and how the daemon is."""

from __future__ import annotations

from textual.app import ComposeResult

from flowdapt.tui.screens.view import View
from flowdapt.tui.widgets.safe import SafeText

__all__ = ["Pulse"]


class Pulse(View):
    """The view on key 1."""

    KEYS = ("refresh",)
    view, title_words, AUTO_FOCUS = "pulse", "pulse", ""

    def body(self) -> ComposeResult:
        yield SafeText("", id="pulse")
