"""Decide which executors there are, which is the active one, and which must be open now.

Each open one has a `Seat`. The store says which profiles and which active executor there are; what is
known here follows it at once in this process, and within seconds where several daemons share a store.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import trio

from flowdapt.domain.errors import Conflict, FlowdaptError, InvalidInput
from flowdapt.domain.events import EXECUTOR_ADDED, EXECUTOR_REMOVED
from flowdapt.domain.executor_facts import executor_stopped
from flowdapt.logs import get_log
from flowdapt.ports.broker import EVENT_ADDED, EXECUTORS_CHANGED, Broker, Message
from flowdapt.ports.profiles import FIRST_CHOICE, ActiveExecutor
from flowdapt.services.pool import figures, no_executor
from flowdapt.services.seat import Prepared, Seat, Surroundings

if TYPE_CHECKING:
    from flowdapt.domain.events import EventDraft
    from flowdapt.domain.executor_profile import ExecutorProfile, ExecutorView, NewProfile
    from flowdapt.ports.executor import Executor, WorkerInfo
    from flowdapt.ports.store import Store
    from flowdapt.services.dispatch import Dispatcher

__all__ = ["Executors", "Kinds"]

log = get_log("flowdapt.executors")

LOCAL = FIRST_CHOICE.name
_POLL_S = 5.0
_LAST_WORDS_S = 2.0
# Events of executors that wait to be written; more than these are only logged.
_EVENTS_MAX = 1000


class Kinds(Protocol):
    """The kinds of executors that can be had. May wait for an import; abandoned when cancelled."""

    def names(self) -> Collection[str]:
        """Return the kinds that profiles may have. Never blocks."""
        ...

    async def validate(self, kind: str, options: Mapping[str, Any]) -> None:
        """Raise InvalidInput when there is no such kind, or its options are wrong."""
        ...

    async def prepare(self, kind: str, options: Mapping[str, Any]) -> Prepared:
        """Import the kind and read the options, secrets filled in. Raise FlowdaptError."""
        ...


class Executors:
    """The executors of one daemon.

    `local` makes the one of this machine, which is always open. `drives` says that runs are driven
    here: only then is the active executor kept open. `alone`: nobody else changes the store.
    """

    def __init__(
        self,
        *,
        store: Store,
        broker: Broker,
        kinds: Kinds,
        local: Callable[[], Executor],
        report: Callable[[str, str | None], None] = lambda _part, _trouble: None,
        drives: bool = True,
        alone: bool = True,
        idle_s: float = 60.0,
    ) -> None:
        self._store = store
        self._broker = broker
        self._kinds = kinds
        self._local = local
        self._drives = drives
        self._alone = alone
        self._events, self._told = trio.open_memory_channel["EventDraft"](_EVENTS_MAX)
        self._around = Surroundings(self._tell, report, idle_s)
        self._pointer = FIRST_CHOICE
        self._profiles: dict[str, ExecutorProfile] = {}
        here = Seat(LOCAL, LOCAL, self._prepare_local, self._around, watched=False)
        self._seats: dict[str, Seat] = {LOCAL: here}
        self._kept: str | None = None
        self._nursery: trio.Nursery | None = None

    # -- what there is ---------------------------------------------------------------------------

    @property
    def active(self) -> str:
        return self._pointer.name

    @property
    def pointer(self) -> ActiveExecutor:
        """Return the pointer to the active executor as known here."""
        return self._pointer

    def knows(self, name: str) -> bool:
        return name == LOCAL or name in self._profiles or name in self._built_in()

    async def exists(self, name: str) -> bool:
        if not self.knows(name) and not self._alone:
            await self.refresh()
        return self.knows(name)

    def names(self) -> Collection[str]:
        return {*self._built_in(), *self._profiles}

    def _built_in(self) -> Mapping[str, str]:
        from flowdapt.domain.executor_profile import BUILT_IN_PROFILES

        there = {LOCAL, *self._kinds.names()}
        return {name: kind for name, kind in BUILT_IN_PROFILES.items() if kind in there}

    def profile(self, name: str) -> ExecutorProfile:
        """Return a profile, stored or built in. Raise NotFound."""
        from flowdapt.domain.executor_profile import ExecutorProfile

        if name in self._profiles:
            return self._profiles[name]
        kind = self._built_in().get(name)
        if kind is None:
            raise no_executor(name, self.names())
        return ExecutorProfile(name=name, kind=kind)

    def list_profiles(self) -> list[ExecutorProfile]:
        """Return all profiles, by name."""
        return [self.profile(name) for name in sorted(self.names())]

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
        assert self._nursery is not None, "executors are used while they are served"
        seat.hold(trial=trial)
        if not seat.serving:
            seat.serving = True
            self._nursery.start_soon(seat.serve)

    def _seat(self, name: str, profile: ExecutorProfile | None = None) -> Seat:
        if name == LOCAL:
            return self._seats[LOCAL]
        of = profile or self.profile(name)
        seat = self._seats.get(name)
        if seat is not None and (seat.kind, seat.options) != (of.kind, of.options):
            # The name was given anew; what stands there closes by itself.
            seat.close_soon()
            seat = None
        if seat is None:
            seat = self._seats[name] = self._new_seat(of)
        return seat

    def _new_seat(self, of: ExecutorProfile) -> Seat:
        prepare = partial(self._kinds.prepare, of.kind, of.options)
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
                nursery.start_soon(self._write_events)
                self.pin(LOCAL)
                await self._seats[LOCAL].opened()
                await self.refresh()
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
        """Read profiles and pointer anew; a store that does not answer changes nothing."""
        try:
            pointer = await self._store.active_executor()
            profiles = await self._store.list_profiles()
        except FlowdaptError as error:
            log.warning("executor profiles could not be read", reason=error.message)
            return
        self._profiles = {profile.name: profile for profile in profiles}
        if pointer.revision >= self._pointer.revision:
            self._pointer = pointer
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
        seat = self._seat(name)
        active = name == self.active
        return figures(name, seat.kind, seat.state, seat.dispatcher, active=active)

    async def views(self) -> list[ExecutorView]:
        """Return all executors as clients see them, by name."""
        if not self._alone:
            await self.refresh()
        runs = await self._pinned_runs()
        return [self._view(profile, runs) for profile in self.list_profiles()]

    async def view(self, name: str) -> ExecutorView:
        """Return one executor as clients see it. Raise NotFound."""
        await self._refuse_unknown(name)
        return self._view(self.profile(name), await self._pinned_runs())

    async def workers(self, name: str) -> list[WorkerInfo]:
        """Return the workers of an executor as they are now; none while it is closed. Raise NotFound."""
        await self._refuse_unknown(name)
        seat = self._seats.get(name)
        return seat.dispatcher.executor.workers() if seat is not None else []

    async def _refuse_unknown(self, name: str) -> None:
        if not await self.exists(name):
            raise no_executor(name, self.names())

    async def _pinned_runs(self) -> Mapping[str, int]:
        return await self._store.count_pinned()

    def _view(self, profile: ExecutorProfile, runs: Mapping[str, int]) -> ExecutorView:
        from flowdapt.services.executor_views import view_of

        return view_of(
            profile,
            self._seats.get(profile.name),
            active=profile.name == self.active,
            built_in=profile.name not in self._profiles,
            runs=runs.get(profile.name, 0),
        )

    # -- changing --------------------------------------------------------------------------------

    async def add(self, new: NewProfile) -> ExecutorView:
        """Store a profile, its options checked. Raise InvalidInput, Conflict (`executor.exists`)."""
        from flowdapt.domain.executor_profile import ExecutorProfile

        await self.validate(new.kind, new.options)
        stored = await self._store.add_profile(
            ExecutorProfile(name=new.name, kind=new.kind, options=new.options)
        )
        await self.changed(new.name, EXECUTOR_ADDED)
        return self._view(stored, {})

    async def validate(self, kind: str, options: Mapping[str, Any]) -> None:
        """Raise InvalidInput when no profile can be made of these."""
        if not _is_json(options):
            raise InvalidInput("the options are not JSON", code="executor.invalid_options")
        await self._kinds.validate(kind, options)

    async def remove(self, name: str) -> None:
        """Delete a stored profile. Raise NotFound; Conflict when it is built in or in use."""
        if not self._is_stored(name) and name in self._built_in():
            raise Conflict(
                f"executor {name!r} is built in and stays",
                code="executor.built_in",
                fix="flowdapt executor ls",
            )
        await self._store.remove_profile(name)
        await self.changed(name, EXECUTOR_REMOVED)

    def _is_stored(self, name: str) -> bool:
        return name in self._profiles

    async def changed(self, name: str, event: str) -> None:
        """Follow a change that was just stored, and tell the other daemons."""
        await self.refresh()
        self._broker.publish(Message(EXECUTORS_CHANGED, name))
        self._broker.publish(Message(EVENT_ADDED, event))


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


def _is_json(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_json(inner) for key, inner in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_json, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, str | bool | int)
