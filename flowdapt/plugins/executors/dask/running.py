"""Decide what the bridge knows of one task while it runs on Dask: its words, its worker, its two ends."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from flowdapt.plugins.bridge.hearing import Hearing

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from distributed import Future

    from flowdapt.plugins.bridge.engine import Say

__all__ = ["RunningTask", "WorkerGone"]


class WorkerGone(Exception):
    """The worker of a task that had begun is no more; the message says how."""


class RunningTask(Hearing):
    """What is known of one task while it runs. `ended`: the worker said that nothing more comes."""

    def __init__(self, task_key: str, say: Say) -> None:
        super().__init__(task_key, say)
        self.ended = asyncio.Event()
        self._begun = asyncio.Event()
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

    def hear(self, place: str, number: int, body: bytes) -> None:
        self._begun.set()
        if body:
            super().hear(place, number, body)
        else:
            self.place = place
            self.ended.set()

    async def begins(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._begun.wait(), seconds)
        return self._begun.is_set()


async def _result_of(future: Future[Any]) -> Any:
    return await future
