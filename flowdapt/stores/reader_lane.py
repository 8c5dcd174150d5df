"""Decide how reads reach the database: threads with connections of their own, each read one moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import trio

from flowdapt.domain.errors import FlowdaptError, Unavailable
from flowdapt.stores.lanes import ATTEMPTS, Lane, Request, deliver
from flowdapt.stores.links import Link, Tx

__all__ = ["ReaderLane"]

T = TypeVar("T")


class ReaderLane(Lane):
    """Threads that read, started when there is something to read."""

    def __init__(self, connect: Callable[[], Link], *, threads: int) -> None:
        super().__init__()
        self._connect = connect
        self._wanted = threads
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        self._token = trio.lowlevel.current_trio_token()

    async def read(self, work: Callable[[Tx], T]) -> T:
        """Return what the work reads, all from one moment. A cancelled read is left behind."""
        self._staff()
        return await self._ask(Request(work, durable=False), may_abandon=True)

    async def stop(self) -> None:
        threads, self._threads = self._threads, []
        self._token = None
        for _ in threads:
            self._queue.put(None)
        with trio.CancelScope(shield=True):
            for thread in threads:
                await trio.to_thread.run_sync(thread.join)

    def _staff(self) -> None:
        if self._token is None or len(self._threads) >= self._wanted:
            return
        if not self._threads or self._queue.qsize() > 0:
            thread = threading.Thread(
                target=self._serve, args=(self._token,), name="flowdapt-reader", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def _serve(self, token: trio.lowlevel.TrioToken) -> None:
        link: Link | None = None
        while (request := self._queue.get()) is not None:
            if request.take():
                link = self._answer(link, request)
                deliver(token, [request])
        if link is not None:
            link.close()

    def _answer(self, link: Link | None, request: Request[Any]) -> Link | None:
        error: Exception = Unavailable("the store gave no answer")
        for attempt in range(ATTEMPTS):
            try:
                link = link or self._connect()
                tx = link.begin_read()
                request.answer(request.work(tx))
                link.commit()
                return link
            except Exception as failure:
                if link is None:
                    request.fail(_unopened(failure))
                    return None
                verdict = link.judge(failure, attempt)
            error = verdict.error
            if not verdict.retry:
                break
        request.fail(error)
        return link


def _unopened(failure: Exception) -> Exception:
    if isinstance(failure, FlowdaptError):
        return failure
    return Unavailable(f"the database cannot be opened: {failure}")
