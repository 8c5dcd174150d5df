"""The line at the bottom for `:` and `/`: completes, remembers, and gives what was typed."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.suggester import Suggester
from textual.widgets import Input

__all__ = ["Prompt"]

Completes = Callable[[str], list[str]]
_MOST = 100


class _FirstOf(Suggester):
    """Suggest the first completion behind the cursor."""

    def __init__(self, completes: Completes) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._completes = completes

    async def get_suggestion(self, value: str) -> str | None:
        return (
            next((one for one in self._completes(value) if one != value), None) if value else None
        )


class Prompt(Input):
    """One line that comes when called and goes when it is answered."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "leave", priority=True),
        Binding("tab", "complete", "complete", priority=True),
        Binding("up", "older", "older"),
        Binding("down", "newer", "newer"),
    ]

    class Given(Message):
        """A line was typed; `kind` is what it was asked for (`:` or `/`)."""

        def __init__(self, kind: str, value: str) -> None:
            super().__init__()
            self.kind, self.value = kind, value

    class Left(Message):
        """The line was left without an answer."""

    def __init__(self) -> None:
        super().__init__(id="prompt", compact=True)
        self.kind = ""
        self.display = False
        self._completes: Completes = lambda _: []
        self._past: dict[str, list[str]] = {}
        self._back = 0

    def call(self, kind: str, value: str = "", *, completes: Completes = lambda _: []) -> None:
        """Show the line and take the keys."""
        self.kind, self._completes, self._back = kind, completes, 0
        self.suggester = _FirstOf(completes)
        self.placeholder = {":": "command", "/": "state=failed wf~part since=2d, or any text"}.get(
            kind, ""
        )
        self.border_title = kind
        self.value = value
        self.display = True
        # At once: `focus` would wait for its turn behind keys that are typed already.
        self.screen.set_focus(self)
        self.cursor_position = len(value)

    def on_key(self, event: events.Key) -> None:
        """End the line where `enter` was typed: what comes behind it in one burst is no part of the line."""
        if event.key == "enter" and self.display:
            self._give()
        elif self.display:
            return
        event.stop()
        event.prevent_default()

    def _give(self) -> None:
        value, past = self.value, self._past.setdefault(self.kind, [])
        if value and value not in past[-1:]:
            past.append(value)
            del past[:-_MOST]
        self._close()
        self.post_message(self.Given(self.kind, value))

    def action_leave(self) -> None:
        self._close()
        self.post_message(self.Left())

    def on_blur(self, event: events.Blur) -> None:
        # It may have been called again before the word of its last end came round.
        if self.display and self.screen.focused is not self:
            self.action_leave()

    def action_complete(self) -> None:
        """Take the completion, as far as all that fit agree."""
        found = self._completes(self.value)
        if found:
            common = _common_start(found)
            self.value = common if len(common) > len(self.value) else found[0]
            self.cursor_position = len(self.value)

    def action_older(self) -> None:
        self._recall(1)

    def action_newer(self) -> None:
        self._recall(-1)

    def _recall(self, by: int) -> None:
        past = self._past.get(self.kind, [])
        self._back = max(0, min(self._back + by, len(past)))
        self.value = past[-self._back] if self._back else ""
        self.cursor_position = len(self.value)

    def _close(self) -> None:
        self.display = False
        self.screen.set_focus(None)


def _common_start(texts: list[str]) -> str:
    low, high = min(texts), max(texts)
    same = next((at for at, char in enumerate(low) if high[at : at + 1] != char), len(low))
    return low[:same]
