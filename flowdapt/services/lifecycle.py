"""Decide in which order the services of a daemon start, drain and end, and what may still change that.

First signal or request: drain. Second signal: at once. A service that fails ends all of them; how the
process then ends is the composition root's business.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

import trio

from flowdapt.domain.errors import Conflict, FlowdaptError
from flowdapt.failpoints import failpoint
from flowdapt.logs import get_log
from flowdapt.ports.store import Store
from flowdapt.services.health import Health
from flowdapt.services.notify import notify
from flowdapt.services.retention import Retention

__all__ = ["Drainable", "Lifecycle", "Quietable", "Service", "the_one"]

log = get_log("flowdapt.daemon")

# `nursery.start`-able: calls `task_status.started()` when it is ready.
Service = Callable[..., Awaitable[None]]


class Drainable(Protocol):
    """What is drained (`services.compute.Compute`)."""

    async def drain(self, timeout_s: float) -> None: ...

    def resume(self) -> None: ...


class Quietable(Protocol):
    """What begins nothing more during a drain (`services.triggers.Triggers`)."""

    def drain(self) -> None: ...

    def resume(self) -> None: ...


class Lifecycle:
    """The life of one daemon, and what clients may ask of it as a whole (`api.backend.Control`).

    `left_nothing` says at the end that no run is open.
    """

    def __init__(
        self,
        *,
        store: Store,
        compute: Drainable,
        triggers: Quietable,
        health: Health,
        retention: Retention,
        owner: str,
        drain_timeout_s: float,
        close_files: Callable[[], None] = lambda: None,
        find_problems: Callable[[], Awaitable[list[str]]] | None = None,
    ) -> None:
        self._store = store
        self._compute = compute
        self._triggers = triggers
        self._health = health
        self._retention = retention
        self._owner = owner
        self._drain_timeout_s = drain_timeout_s
        self._close_files = close_files
        self._find_problems = find_problems or store.check
        self._end = trio.Event()
        self._everything = trio.CancelScope()
        self._patience = trio.CancelScope()
        self._now = False
        self._token: trio.lowlevel.TrioToken | None = None
        self._failure: FlowdaptError | None = None
        self.left_nothing = False

    # -- asked from outside ----------------------------------------------------------------------

    def drain(self, *, now: bool) -> None:
        """End the daemon: nothing new, running stages may end first unless `now`."""
        self._health.draining = True
        self._triggers.drain()
        self._end.set()
        if now:
            self._now = True
            self._patience.cancel()

    def undrain(self) -> None:
        """Take work again, while running stages are still waited for. Raise Conflict after that."""
        if not self._end.is_set():
            return
        if self._now:
            raise Conflict("the daemon is ending", code="daemon.ending", fix="flowdapt up")
        self._end = trio.Event()
        self._patience.cancel()

    def give_up(self, error: FlowdaptError) -> None:
        """End everything at once and let `run` raise this; may be called in any thread."""
        if self._token is not None:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._fail, error)

    def _fail(self, error: FlowdaptError) -> None:
        self._failure = error
        self._everything.cancel()

    async def collect_garbage(self, *, dry_run: bool) -> Mapping[str, Any]:
        """Delete what is old, or say how much that is."""
        return await self._retention.collect(dry_run=dry_run)

    async def backup(self) -> Mapping[str, Any]:
        """Write a checked copy of the database."""
        return await self._retention.backup()

    async def check(self) -> list[str]:
        """Return every broken invariant of the store, in words."""
        return await self._find_problems()

    # -- life ------------------------------------------------------------------------------------

    async def run(
        self,
        services: Sequence[tuple[str, Service]],
        *,
        on_ready: Service | None = None,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        """Start the services in order, serve until drained, end them. Raise what one of them raised.

        `on_ready` runs beside the services once all are ready; `on_end` is told when nothing is left
        to wait for, before they are cancelled in reverse.
        """
        self._token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as outermost:
            await outermost.start(self._obey_signals)
            failpoint("up.before_store")
            await self._store.open()
            failpoint("up.after_store")
            try:
                with self._everything:
                    await self._serve(services, on_ready, on_end)
                if self._everything.cancelled_caught:
                    await self._let_go()
                if self._failure is not None:
                    raise self._failure
            finally:
                with trio.CancelScope(shield=True):
                    failpoint("down.before_store")
                    await self._store.close()
                    await trio.to_thread.run_sync(self._close_files)
            outermost.cancel_scope.cancel()

    async def _serve(
        self,
        services: Sequence[tuple[str, Service]],
        on_ready: Service | None,
        on_end: Callable[[], None],
    ) -> None:
        async with trio.open_nursery() as nursery:
            for name, service in services:
                self._health.services[name] = "starting"
                await nursery.start(service, name=name)
                self._health.services[name] = "running"
            failpoint("up.before_ready")
            self._health.ready = True
            notify("READY=1", f"STATUS=serving {self._health.about.socket}")
            log.info("ready", socket=self._health.about.socket, pid=os.getpid())
            if on_ready is not None:
                nursery.start_soon(on_ready)
            await self._drained()
            self._health.ready = False
            self.left_nothing = not any((await self._store.count_runs()).values())
            on_end()
            nursery.cancel_scope.cancel()

    async def _drained(self) -> None:
        """Return when everything has ended that may still end; start over after an undrain."""
        while True:
            await self._end.wait()
            notify("STOPPING=1", "STATUS=draining")
            log.info("draining", timeout_s=self._drain_timeout_s, now=self._now)
            with trio.CancelScope() as self._patience:
                if not self._now:
                    await self._compute.drain(self._drain_timeout_s)
            if self._end.is_set():
                self._now = True
                await self._compute.drain(0.0)
                return
            self._health.draining = False
            self._compute.resume()
            self._triggers.resume()
            notify("READY=1", "STATUS=serving again")
            log.info("takes work again")

    async def _let_go(self) -> None:
        """Give the runs back without a loss counted; the next start would find them anyway."""
        try:
            await self._store.release(self._owner)
        except FlowdaptError as error:
            log.warning("runs could not be released", reason=error.message)

    async def _obey_signals(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as received:
            task_status.started()
            async for number in received:
                log.info("received", signal=signal.Signals(number).name)
                if self._end.is_set():
                    self._everything.cancel()
                else:
                    self.drain(now=False)


def the_one(error: BaseException) -> BaseException:
    """Return the error that nurseries have wrapped in groups: the first that says why to end."""
    while isinstance(error, BaseExceptionGroup):
        told = [one for one in error.exceptions if not isinstance(one, trio.Cancelled)]
        error = (told or list(error.exceptions))[0]
    return error
