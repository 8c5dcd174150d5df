"""Decide when a question is asked: one at a time, and nothing that is being asked already."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from flowdapt.tui.widgets.dialogs import Dialog

if TYPE_CHECKING:
    from flowdapt.tui.app import FlowdaptApp

__all__ = ["Questions"]

T = TypeVar("T")

# A second key pressed in haste is for the question before, and shall not answer the next one.
_BREATH_S = 0.5


class Questions:
    """The questions of an app, in the order in which they came."""

    def __init__(self, app: FlowdaptApp) -> None:
        self._app = app
        self._turn = asyncio.Lock()
        self._open: set[str] = set()

    async def ask(self, dialog: Dialog[T]) -> T | None:
        """Ask when the ones before are answered; return the answer, None for no and for what is asked already."""
        about = dialog.about
        if about in self._open:
            # A key that was pressed twice: the answer to the first holds.
            self._app.say(f"{about}  it is being asked already", "warn")
            return None
        self._open.add(about)
        waits = self._turn.locked()
        try:
            async with self._turn:
                if waits:
                    await asyncio.sleep(_BREATH_S)
                return await self._app.push_screen_wait(dialog)
        finally:
            self._open.discard(about)
