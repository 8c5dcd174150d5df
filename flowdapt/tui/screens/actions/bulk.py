"""Do one thing to many, a few at a time: how far it is, and at the end what was refused and why."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from flowdapt.domain.errors import FlowdaptError, Unreachable

if TYPE_CHECKING:
    from flowdapt.tui.app import FlowdaptApp

__all__ = ["do_to_all"]

T = TypeVar("T")
_AT_ONCE = 8
_TELL_EVERY = 100


async def do_to_all(
    desk: FlowdaptApp, done: str, things: Sequence[T], act: Callable[[T], Awaitable[object]]
) -> list[T]:
    """Do it to each; tell `done` (a past word) and a count. Return what it was done to."""
    refused: Counter[str] = Counter()
    finished: list[T] = []
    limit = asyncio.Semaphore(_AT_ONCE)
    lost: list[Unreachable] = []

    async def one(thing: T) -> None:
        async with limit:
            if lost:
                return
            try:
                await act(thing)
            except Unreachable as error:
                lost.append(error)
            except FlowdaptError as error:
                refused[error.message] += 1
            else:
                finished.append(thing)
                count = len(finished)
                if count % _TELL_EVERY == 0 and count < len(things):
                    desk.say(f"{done} {count} of {len(things)} …")

    await asyncio.gather(*(one(thing) for thing in things))
    if lost:
        words = f"{done} {len(finished)} of {len(things)}, then the connection was lost"
        desk.say(words, "warn")
        raise lost[0]
    _tell(desk, done, len(finished), len(things), refused)
    return finished


def _tell(desk: FlowdaptApp, done: str, count: int, total: int, refused: Counter[str]) -> None:
    if not refused:
        if total > 1:
            desk.say(f"{done} {count}")
        return
    words = [f"{number} × {why}" if number > 1 else why for why, number in refused.most_common(3)]  # noqa: RUF001 - times
    desk.say(f"{done} {count} of {total}; refused:\n" + "\n".join(words), "warn")
