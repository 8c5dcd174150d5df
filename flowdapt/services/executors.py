"""Decide which executors must be open now, and tell what becomes of them.

Each has a `Seat`; which there are, and which is the active one, is `profiles.py`. Where several daemons
share a store, each opens what it needs itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import trio

from flowdapt.domain.errors import ExecutorUnavailable, FlowdaptError
from flowdapt.domain.events import EXECUTOR_ADDED, EXECUTOR_REMOVED, EXECUTOR_SWITCHED
from flowdapt.domain.executor_facts import executor_stopped
from flowdapt.domain.executor_names import LOCAL
from flowdapt.logs import get_log
from flowdapt.ports.broker import EVENT_ADDED, EXECUTORS_CHANGED, Broker, Message
from flowdapt.ports.kinds import Prepared
from flowdapt.services.profiles import Profiles, no_executor
from flowdapt.services.seat import Seat, Surroundings

if TYPE_CHECKING:
    from flowdapt.domain.events import EventDraft
    from flowdapt.domain.executor_profile import ExecutorProfile, ExecutorView, NewProfile
    from flowdapt.ports.executor import Executor, WorkerInfo
    from flowdapt.ports.kinds import Kinds
    from flowdapt.ports.store import Store
    from flowdapt.services.dispatch import Dispatcher

__all__ = ["Executors", "Trial"]

log = get_log("flowdapt.executors")

_POLL_S = 5.0
_LAST_WORDS_S = 2.0
# Events of executors that wait to be written; more than these are only logged.
_EVENTS_MAX = 1000


class Executors:
    """The executors of one daemon (`services.pool.ExecutorPool`).

    `local` makes the one of this machine, which is always open. `drives` says that runs are driven
    here: only then is the active executor kept open. `alone`: nobody else changes the store.
    """

    def __init__(
        self,
        *,
        store: Store,
        broker: Broker,
        find_kinds: Callable[[], Kinds],
        local: Callable[[], Executor],
        report: Callable[[str, str | None], None] = lambda _part, _trouble: None,
        drives: bool = True,
        alone: bool = True,
        idle_s: float = 60.0,
    ) -> None:
        self.profiles = Profiles(store, find_kinds)
        self._store = store
        self._broker = broker
        self._find_kinds = find_kinds
        self._local = local
        self._drives = drives
        self._alone = alone
        self._events, self._told = trio.open_memory_channel["EventDraft"](_EVENTS_MAX)
        self._around = Surroundings(self._tell, report, idle_s)
        here = Seat(LOCAL, LOCAL, self._prepare_local, self._around, watched=False)
        self._seats: dict[str, Seat] = {LOCAL: here}
        self._kept: str | None = None
        self._nursery: trio.Nursery | None = None

    @property
    def active(self) -> str:
        return self.profiles.pointer.name

    def knows(self, name: str) -> bool:
        return self.profiles.knows(name)

    def names(self) -> Collection[str]:
        return self.profiles.names()

    async def exists(self, name: str) -> bool:
        if not self.knows(name) and not self._alone:
            await self.refresh()
        return self.knows(name)

    # -- users -----------------------------------------------------------------------------------

    def pin(self, name: str) -> Dispatcher:
        seat = self._seat(name)
        self._hold(seat)
        return seat.dispatcher

    def unpin(self, name: str) -> None:
        self._seats[name].release()

    @asynccontextmanager
    async def trial(self, profile: ExecutorProfile) -> AsyncIterator[Trial]:
        """Have an executor open to look at it; closed at once after a trial that did not pass."""
        seat = self._seat(profile.name, profile)
        trial = Trial(seat)
        self._hold(seat, trial=True)
        try:
            yield trial
        finally:
            seat.release(trial=True, linger=trial.passed)

    def _hold(self, seat: Seat, *, trial: bool = False) -> None:
        seat.hold(trial=trial)
        # Without a nursery the daemon ends, and nobody will open anything.
        if self._nursery is not None and not seat.serving:
            seat.serving = True
            self._nursery.start_soon(seat.serve)

    def _seat(self, name: str, profile: ExecutorProfile | None = None) -> Seat:
        if name == LOCAL:
            return self._seats[LOCAL]
        of = profile or self.profiles.get(name)
        seat = self._seats.get(name)
        if seat is not None and (seat.kind, seat.options) != (of.kind, of.options):
            # The name was given anew; what stands there closes by itself.
            seat.close_soon()
            seat = None
        if seat is None:
            seat = self._seats[name] = self._new_seat(of)
        return seat

    def _new_seat(self, of: ExecutorProfile) -> Seat:
        async def prepare() -> Prepared:
            return await self._find_kinds().prepare(of.kind, of.options)

        return Seat(of.name, of.kind, prepare, self._around, options=of.options)

    async def _prepare_local(self) -> Prepared:
        return Prepared(self._local)

    # -- life ------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; ready when the local executor is, whatever clusters do."""
        try:
            async with (
                self._broker.subscribe(EXECUTORS_CHANGED, capacity=10) as hints,
                trio.open_nursery() as nursery,
            ):
                self._nursery = nursery
                self.pin(LOCAL)
                await self.refresh()
                await self._seats[LOCAL].opened()
                nursery.start_soon(self._write_events)
                if not self._alone:
                    nursery.start_soon(self._poll)
                task_status.started()
                async for _ in hints:
                    await self.refresh()
        finally:
            self._nursery = None
            with trio.move_on_after(_LAST_WORDS_S, shield=True):
                await self._write_last_words()

    async def _poll(self) -> None:
        while True:
            await trio.sleep(_POLL_S)
            await self.refresh()

    async def refresh(self) -> None:
        """Read what there is anew, and open and close what that asks for."""
        await self.profiles.read()
        self._follow()

    def _follow(self) -> None:
        """Keep the active executor open, and let go of the one before and of removed ones."""
        for name, seat in list(self._seats.items()):
            if not (self.knows(name) or seat.wanted or seat.serving):
                del self._seats[name]
            elif not (self.knows(name) or seat.wanted):
                seat.close_soon()
        if not self._drives or self._kept == self.active or not self.knows(self.active):
            return
        before, self._kept = self._kept, self.active
        self.pin(self.active)
        if before is not None:
            self.unpin(before)

    # -- events ----------------------------------------------------------------------------------

    def _tell(self, event: EventDraft) -> None:
        try:
            self._events.send_nowait(event)
        except trio.WouldBlock:
            log.warning("too many events of executors wait", type=event.type)

    async def _write_events(self) -> None:
        async for event in self._told:
            await self._write(event)

    async def _write_last_words(self) -> None:
        for seat in self._seats.values():
            if seat.state == "ready":
                slots = seat.dispatcher.executor.capacity().slots
                self._tell(executor_stopped(seat.name, seat.kind, slots))
        while True:
            try:
                event = self._told.receive_nowait()
            except trio.WouldBlock:
                return
            await self._write(event)

    async def _write(self, event: EventDraft) -> None:
        try:
            await self._store.add_event(event)
        except FlowdaptError as error:
            log.warning("the event could not be stored", type=event.type, reason=error.message)
        else:
            self._broker.publish(Message(EVENT_ADDED, event.type))

    # -- looking ---------------------------------------------------------------------------------

    def load(self) -> Mapping[str, tuple[int, int]]:
        return {
            name: (seat.dispatcher.busy, seat.dispatcher.waiting)
            for name, seat in self._seats.items()
        }

    def figures(self, name: str) -> dict[str, Any]:
        # Another daemon may have removed it since the pointer was read.
        seat = self._seat(name) if self.knows(name) else Seat(name, "", _nothing, self._around)
        about = {"name": name, "kind": seat.kind, "state": seat.state}
        return about | seat.figures() | {"active": name == self.active}

    async def views(self) -> list[ExecutorView]:
        """Return all executors as clients see them, by name."""
        if not self._alone:
            await self.refresh()
        runs = await self._store.count_pinned()
        return [self._view(profile, runs) for profile in self.profiles.list_()]

    async def view(self, name: str) -> ExecutorView:
        """Return one executor as clients see it. Raise NotFound."""
        await self._refuse_unknown(name)
        return self._view(self.profiles.get(name), await self._store.count_pinned())

    async def workers(self, name: str) -> list[WorkerInfo]:
        """Return the workers of an executor as they are now; none while it is closed. Raise NotFound."""
        await self._refuse_unknown(name)
        seat = self._seats.get(name)
        return seat.dispatcher.executor.workers() if seat is not None else []

    async def _refuse_unknown(self, name: str) -> None:
        if not await self.exists(name):
            raise no_executor(name, self.names())

    def _view(self, profile: ExecutorProfile, runs: Mapping[str, int]) -> ExecutorView:
        from flowdapt.services.executor_views import view_of

        return view_of(
            profile,
            self._seats.get(profile.name),
            active=profile.name == self.active,
            built_in=not self.profiles.is_stored(profile.name),
            runs=runs.get(profile.name, 0),
        )

    # -- changing --------------------------------------------------------------------------------

    async def add(self, new: NewProfile) -> ExecutorView:
        """Store a profile, its options checked. Raise InvalidInput, Conflict (`executor.exists`)."""
        stored = await self.profiles.add(new)
        self._changed(new.name, EXECUTOR_ADDED)
        return self._view(stored, {})

    async def remove(self, name: str) -> None:
        """Delete a stored profile. Raise NotFound; Conflict when it is built in or in use."""
        await self.profiles.remove(name)
        self._changed(name, EXECUTOR_REMOVED)

    async def move(self, profile: ExecutorProfile, *, if_revision: int) -> None:
        """Make it the active executor. Raise StaleRevision, NotFound, Conflict."""
        await self.profiles.move(profile, if_revision=if_revision)
        self._changed(profile.name, EXECUTOR_SWITCHED)

    def _changed(self, name: str, event: str) -> None:
        """Follow what was just stored, and tell the other daemons."""
        self._follow()
        self._broker.publish(Message(EXECUTORS_CHANGED, name))
        self._broker.publish(Message(EVENT_ADDED, event))


async def _nothing() -> Prepared:
    raise ExecutorUnavailable("there is no such executor")


class Trial:
    """An executor that is held open to look at it. Say `passed` to let it stay a while."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self.passed = False

    @property
    def executor(self) -> Executor:
        return self._seat.dispatcher.executor

    @property
    def is_open(self) -> bool:
        return self._seat.state == "ready"

    async def opened(self) -> str | None:
        """Return None once it is open, or in words why it is not."""
        return await self._seat.opened()
