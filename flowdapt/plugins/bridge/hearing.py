"""Decide how what a task says while it runs is told in order, and waited for when its end came first."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from flowdapt.runtime.frames import read_message

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flowdapt.domain.task import TaskEvent
    from flowdapt.plugins.bridge.engine import Say

__all__ = ["Hearing"]

# A word takes another way than the end; one that is lost shall not hold that up for long.
_WORDS_S = 2.0


class Hearing:
    """One task as the bridge hears of it. `place` is where it runs, once it has said something."""

    def __init__(self, task_key: str, say: Say) -> None:
        self.task_key = task_key
        self.place = ""
        self._say = say
        self._count = 0
        self._stirred = asyncio.Event()

    def hear(self, place: str, number: int, body: bytes) -> None:
        """Take the word of a number: the body of a message with events."""
        self.place = place
        self.tell(read_message(body))
        self._count = number + 1
        self._stirred.set()

    def tell(self, events: Iterable[object]) -> None:
        """Pass events on."""
        said: list[TaskEvent] = list(events)  # type: ignore[arg-type]  # what is before an outcome
        if said:
            self._say(said)

    async def heard(self, count: int) -> None:
        """Wait until so many words came, a bounded time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_WORDS_S):
                while self._count < count:
                    self._stirred.clear()
                    await self._stirred.wait()
