"""Bridge foreign event loops and threads into trio: the one place where asyncio meets the daemon.

A foreign future's done-callback wakes the trio task that awaits it; cancelling that task cancels the future.
No thread is parked for a waiting task. Which library stands behind the bridge is its plugin's business.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol, TypeVar

import trio

__all__ = ["ForeignFuture", "Portal", "open_portal", "wait_future"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class ForeignFuture(Protocol[T_co]):
    """What `wait_future` needs: futures of asyncio threads, of distributed and of others have it."""

    def add_done_callback(self, callback: Callable[[Any], object], /) -> object:
        """Call back once, from any thread, also when it is done already."""

    def cancel(self) -> object:
        """Ask it to end without a result."""

    def result(self) -> T_co:
        """Return the result of a future that is done, or raise its error."""


async def wait_future(future: ForeignFuture[T]) -> T:
    """Wait until a foreign future is done; return its result or raise its error.

    A cancelled wait cancels the future and does not wait for the end of that. A future that somebody
    else cancelled raises its library's own error.
    """
    done = trio.Event()
    token = trio.lowlevel.current_trio_token()

    def wake(_: object) -> None:
        # The future of a cancelled wait may end after trio has.
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(done.set)

    future.add_done_callback(wake)
    try:
        await done.wait()
    except trio.Cancelled:
        future.cancel()
        raise
    return future.result()


class Portal:
    """An asyncio loop that lives in a thread of its own, for clients that know no other loop."""

    def __init__(self, name: str) -> None:
        self._loop: Future[asyncio.AbstractEventLoop] = Future()
        self._end = asyncio.Event()
        # Not in the way of a process that must end while the loop hangs.
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    async def call(
        self, function: Callable[..., Coroutine[Any, Any, T]], /, *given: Any, **named: Any
    ) -> T:
        """Await a coroutine function on the asyncio loop; return what it returns.

        Cancelled, it cancels the asyncio task. The task being cancelled over there raises
        `concurrent.futures.CancelledError` here.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        work = function(*given, **named)
        return await wait_future(asyncio.run_coroutine_threadsafe(work, self._loop.result()))

    async def start(self) -> None:
        """Start the thread; return when its loop runs, which takes no time worth a cancel."""
        self._thread.start()
        with trio.CancelScope(shield=True):
            await wait_future(self._loop)

    async def stop(self) -> None:
        """Cancel what still runs on the loop; return when the thread has ended."""
        with trio.CancelScope(shield=True):
            self._loop.result().call_soon_threadsafe(self._end.set)
            await trio.to_thread.run_sync(self._thread.join)

    def _work(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._live())

    async def _live(self) -> None:
        self._loop.set_result(asyncio.get_running_loop())
        await self._end.wait()


@asynccontextmanager
async def open_portal(name: str) -> AsyncIterator[Portal]:
    """Run an asyncio loop in a thread for as long as the block lasts."""
    portal = Portal(name)
    await portal.start()
    try:
        yield portal
    finally:
        await portal.stop()
