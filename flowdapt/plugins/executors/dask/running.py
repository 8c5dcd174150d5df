"""Decide what the bridge knows of one task while it runs on Dask: its words, its worker, its two ends."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from flowdapt.runtime.frames import read_message

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from distributed import Future

    from flowdapt.domain.task import TaskEvent
    from flowdapt.plugins.bridge.engine import Say

__all__ = ["RunningTask", "WorkerGone"]

_WORDS_S = 2.0


class WorkerGone(Exception):
    """The worker of a task that had begun is no more; the message says how."""


class RunningTask:
    """What is known of one task while it runs."""

    def __init__(self, task_key: str, say: Say) -> None:
        self.task_key = task_key
        self.address = ""
        self.ended = asyncio.Event()
        self._say = say
        self._begun = asyncio.Event()
        self._count = 0
        self._stirred = asyncio.Event()
        self._stirred_gone = asyncio.Event()
        self._gone: asyncio.Task[str] | None = None

    def lose(self, tell: Coroutine[Any, Any, str]) -> None:
        """Wake up who waits for the reply: there will be none."""
        self._gone = asyncio.ensure_future(tell)
        self._stirred_gone.set()

    async def first_of(self, future: Future[Any]) -> Any:
        """Return the reply, or raise WorkerGone when its worker goes first."""
        waiting = asyncio.ensure_future(_result_of(future))
        going = asyncio.ensure_future(self._stirred_gone.wait())
        try:
            await asyncio.wait([waiting, going], return_when=asyncio.FIRST_COMPLETED)
            if waiting.done() or self._gone is None:
                return await waiting
            raise WorkerGone(await self._gone)
        finally:
            waiting.cancel()
            going.cancel()

    def hear(self, address: str, number: int, body: bytes) -> None:
        self.address = address
        self._begun.set()
        if not body:
            self.ended.set()
            return
        self.tell(read_message(body))
        self._count = number + 1
        self._stirred.set()

    def tell(self, events: Any) -> None:
        said: list[TaskEvent] = list(events)
        if said:
            self._say(said)

    async def heard(self, count: int) -> None:
        """Wait until so many words came, a bounded time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_WORDS_S):
                while self._count < count:
                    self._stirred.clear()
                    await self._stirred.wait()

    async def begins(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._begun.wait(), seconds)
        return self._begun.is_set()


async def _result_of(future: Future[Any]) -> Any:
    return await future
