"""Decide where keys go that come faster than the screen follows: each where the ones before it have led."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from textual import events
from textual.binding import ActiveBinding

from flowdapt.tui.screens.view import View
from flowdapt.tui.widgets.prompt import Prompt

if TYPE_CHECKING:
    from flowdapt.tui.app import FlowdaptApp

__all__ = ["TypedKeys"]

_MOST = 256


class TypedKeys:
    """The keys that were typed and have not acted yet.

    Textual sends a key to what has the focus and acts on it when it has come back from there, one turn
    of every queue later: what is typed behind `/` by then would go to the list, as keys that do things.
    """

    def __init__(self, app: FlowdaptApp, send: Callable[[events.Event], Awaitable[None]]) -> None:
        self._app, self._send = app, send
        self._keys: deque[events.Key] = deque(maxlen=_MOST)

    async def take(self, key: events.Key) -> None:
        self._keys.append(key)
        await self.act()

    async def act(self) -> None:
        """Act on the keys in order, until one has opened a view that is not there yet."""
        while self._keys and self._is_there:
            key = self._keys.popleft()
            bound = self._bound(key.key)
            if bound is None:
                await self._send(key)
            else:
                self._app.app_focus = True
                await self._app.run_action(bound.binding.action, bound.node)

    @property
    def _is_there(self) -> bool:
        screen = self._app.screen
        return screen.is_mounted or not isinstance(screen, View)

    def _bound(self, key: str) -> ActiveBinding | None:
        """Return what a key does on a view; None while a line is typed, and in dialogs, which take keys as they come."""
        screen = self._app.screen
        if not isinstance(screen, View) or isinstance(screen.focused, Prompt):
            return None
        found = screen.active_bindings.get(key)
        return found if found is not None and found.enabled else None
