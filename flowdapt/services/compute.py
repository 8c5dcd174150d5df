"""Own and drive runs: claim them, take over those of the dead, keep the lease, cancel, drain.

One driver per open run (`driver.py`), one dispatcher per executor (`dispatch.py`). Everything that
must be known is in the store; messages only make it quick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import structlog
import trio

from flowdapt.domain import facts
from flowdapt.domain.errors import FlowdaptError, StaleEpoch, Unavailable
from flowdapt.domain.records import RunChange, RunPatch, RunRecord
from flowdapt.domain.run import RunState, StageState
from flowdapt.domain.task import ErrorInfo
from flowdapt.failpoints import failpoint
from flowdapt.ports.broker import RUN_CANCEL, RUN_READY, Message
from flowdapt.ports.engine import LiveStage
from flowdapt.ports.store import LoadedRun, RunFilter
from flowdapt.services.dispatch import Dispatcher
from flowdapt.services.driver import DriverTools, RunDriver

if TYPE_CHECKING:
    from flowdapt.services.pool import ExecutorPool

__all__ = ["Compute"]

log = structlog.get_logger(__name__)

_POLL_S = 5.0
_BEAT_S = 10.0
_LEASE_S = 35.0
_DRIVEN = RunFilter(states=frozenset({RunState.RUNNING.value, RunState.CANCELLING.value}))


class Compute:
    """The compute service of one daemon. `alone`: no other daemon can own runs of this store.

    `owner` is `place/instance`. Who holds the lock of a place knows that all earlier instances of it
    are dead, and takes over from them at once; from others when their lease is over. Nothing new is
    begun while `has_room` says that the disk is too full.
    """

    def __init__(
        self,
        tools: DriverTools,
        executors: ExecutorPool,
        *,
        owner: str,
        alone: bool = True,
        max_open_runs: int = 500,
        has_room: Callable[[], bool] = lambda: True,
    ) -> None:
        self._tools = tools
        self._executors = executors
        self._owner = owner
        self._lease_s = 0.0 if alone else _LEASE_S
        self._max_open = max_open_runs
        self._has_room = has_room
        self._drivers: dict[str, RunDriver] = {}
        self._scopes: dict[str, trio.CancelScope] = {}
        self._idle = trio.Event()
        self._draining = False
        self._ready = False

    # -- hints to the same process (ports.engine.Engine) -------------------------------------------

    @property
    def owner(self) -> str:
        return self._owner

    def admits(self, executor: str) -> bool:
        return (
            self._ready
            and not self._draining
            and self._executors.knows(executor)
            and len(self._drivers) < self._max_open
            and self._has_room()
        )

    def holds(self) -> str | None:
        if self._draining:
            return "the daemon is draining"
        if not self._has_room():
            return "too little disk is free to begin a run (storage.min_free)"
        if len(self._drivers) >= self._max_open:
            return f"{len(self._drivers)} runs are open, as many as are driven at once"
        return None

    def live(self, uid: str) -> Mapping[str, LiveStage]:
        driver = self._drivers.get(uid)
        return driver.live() if driver is not None else {}

    # -- life ----------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; ready when the runs of dead owners are taken over."""
        broker = self._tools.broker
        async with (
            broker.subscribe(RUN_READY, RUN_CANCEL) as messages,
            trio.open_nursery() as nursery,
        ):
            self._nursery = nursery
            await self._beat()
            await self._take_over(at_start=True)
            self._ready = True
            nursery.start_soon(self._keep_beating)
            nursery.start_soon(self._poll)
            task_status.started()
            async for message in messages:
                await self._receive(message)

    async def drain(self, timeout_s: float) -> None:
        """Claim nothing more, let running tasks end for so long, stop the rest, let go of all runs."""
        self._draining = True
        for driver in list(self._drivers.values()):
            driver.drain()
        with trio.move_on_after(timeout_s):
            while self._drivers:
                self._idle = trio.Event()
                await self._idle.wait()
        for scope in list(self._scopes.values()):
            scope.cancel()
        while self._drivers:
            self._idle = trio.Event()
            await self._idle.wait()
        failpoint("drain.before_store")
        released = await self._tools.store.release(self._owner)
        failpoint("drain.after_store")
        log.info("drained", released=released)

    def resume(self) -> None:
        """Take a drain back."""
        self._draining = False
        self._tools.broker.publish(Message(RUN_READY, ""))

    # -- finding work --------------------------------------------------------------------------------

    async def _receive(self, message: Message) -> None:
        if message.topic == RUN_CANCEL:
            driver = self._drivers.get(message.key)
            if driver is not None:
                driver.request_cancel(str(message.value or "user"))
        elif isinstance(message.value, LoadedRun):
            self._adopt(message.value)
        else:
            await self._claim()

    async def _claim(self) -> None:
        room = self._max_open - len(self._drivers)
        if self._draining or room <= 0 or not self._has_room():
            return
        with _tolerated("claim"):
            claimed = await self._tools.store.claim(self._owner, limit=min(room, 100))
            failpoint("claim.after_store")
            for loaded in claimed:
                self._adopt(loaded)

    async def _take_over(self, *, at_start: bool = False) -> None:
        store = self._tools.store
        dead = await store.dead_owners(lease_s=self._lease_s, but=self._owner)
        if at_start and self._lease_s:
            others = await store.dead_owners(lease_s=0.0, but=self._owner)
            place = self._owner.rpartition("/")[0] + "/"
            dead = [*dead, *(o for o in others if o not in dead and o.startswith(place))]
        if dead:
            failpoint("recover.before_store")
            reclaimed = await store.reclaim(self._owner, dead=dead)
            failpoint("recover.after_store")
            for loaded in reclaimed:
                self._adopt(loaded)

    async def _poll(self) -> None:
        """Find what a lost message would have told."""
        while True:
            await self._claim()
            await self._tools.clock.sleep(_POLL_S)
            with _tolerated("poll"):
                await self._find_overlooked()
                if self._lease_s:
                    await self._take_over()

    async def _find_overlooked(self) -> None:
        cursor: str | None = None
        while True:
            page = await self._tools.store.list_runs(_DRIVEN, cursor=cursor, limit=500)
            for run in page.items:
                if run.owner == self._owner:
                    await self._look_after(run)
            cursor = page.next
            if cursor is None:
                return

    async def _look_after(self, run: RunRecord) -> None:
        driver = self._drivers.get(run.uid)
        if driver is None and not self._draining:
            self._adopt(await self._tools.store.load_run(run.uid))
        elif driver is not None and run.cancel_requested_at and run.state is RunState.RUNNING:
            driver.request_cancel(run.cancel_reason or "user")

    async def _keep_beating(self) -> None:
        while True:
            await self._tools.clock.sleep(_BEAT_S)
            with _tolerated("heartbeat"):
                await self._beat()

    async def _beat(self) -> None:
        failpoint("beat.before_store")
        await self._tools.store.beat(self._owner, {"executors": sorted(self._executors.load())})

    # -- driving ---------------------------------------------------------------------------------------

    def _adopt(self, loaded: LoadedRun) -> None:
        run = loaded.run
        if run.uid in self._drivers or run.owner != self._owner:
            return
        if not self._executors.knows(run.executor):
            self._nursery.start_soon(self._adopt_unknown, loaded)
            return
        dispatcher = self._executors.pin(run.executor)
        driver = RunDriver(loaded, dispatcher, self._tools)
        self._drivers[run.uid] = driver
        self._scopes[run.uid] = trio.CancelScope()
        self._nursery.start_soon(self._drive, driver, loaded, dispatcher)

    async def _adopt_unknown(self, loaded: LoadedRun) -> None:
        """Look again for an executor that nobody knows here: another daemon may have stored it."""
        name = loaded.run.executor
        if await self._executors.exists(name):
            self._adopt(loaded)
        else:
            await self._fail(loaded, f"there is no executor {name!r} any more")

    async def _drive(self, driver: RunDriver, loaded: LoadedRun, dispatcher: Dispatcher) -> None:
        try:
            with self._scopes[driver.uid]:
                await driver.drive()
        except Exception as error:  # a bug in driving one run must not end the others
            log.exception("driving a run failed", run=driver.uid)
            await self._fail(loaded, f"flowdapt failed to drive the run: {error!r}")
        finally:
            del self._drivers[driver.uid], self._scopes[driver.uid]
            self._idle.set()
            self._executors.unpin(loaded.run.executor)
        if loaded.run.state.terminal:
            # Unpinned, it stays open for longer than this takes.
            with suppress(Exception):
                await dispatcher.executor.forget(driver.uid)
            if len(self._drivers) + 1 >= self._max_open or self._waits_for_end(loaded):
                self._tools.broker.publish(Message(RUN_READY, ""))

    @staticmethod
    def _waits_for_end(loaded: LoadedRun) -> bool:
        return '"concurrency":{' in loaded.run.definition

    async def _fail(self, loaded: LoadedRun, message: str) -> None:
        """End a run that cannot be driven, visibly."""
        run = loaded.run
        now = self._tools.clock.now()
        run.state, run.reason, run.finished_at = RunState.FAILED, "internal", now
        run.error = ErrorInfo("flowdapt.InternalError", message, retryable=False)
        patch = RunPatch(
            run.state,
            run.reason,
            False,
            run.started_at or now,
            now,
            None,
            run.error,
            release_owner=True,
        )
        change = RunChange(run.uid, run.epoch, run=patch, first_seq=run.next_seq)
        change.events.append(facts.run_finished(run))
        for stage in loaded.stages:
            if not stage.state.terminal:
                stage.state, stage.finished_at = StageState.CANCELLED, now
                change.stages.append(stage)
        await self._write_end(change)

    async def _write_end(self, change: RunChange) -> None:
        """Write it however long the store refuses: nobody else would end the run."""
        while True:
            try:
                with suppress(StaleEpoch):
                    await self._tools.store.commit(change)
                return
            except Unavailable as error:
                log.warning("a run's end cannot be written", run=change.uid, error=error.message)
                await self._tools.clock.sleep(_POLL_S)


@contextmanager
def _tolerated(what: str) -> Iterator[None]:
    """Log a failure of the store and go on: the next poll tries again."""
    try:
        yield
    except FlowdaptError as error:
        log.warning("the store did not answer", what=what, error=error.message)
