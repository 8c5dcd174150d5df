"""Fire trigger rules when their instant or their event comes; once each, however often it is looked.

The store decides races and remembers; nothing here has to survive a crash. One rule that fails hurts no
other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog
import trio

from flowdapt.domain.errors import FlowdaptError, StaleRule, Unavailable
from flowdapt.domain.events import CLOCK_JUMPED, Event, EventDraft
from flowdapt.domain.fire import MAX_DEPTH, Fire, FireState, NewFire
from flowdapt.domain.firing import Missed, RuleClock, decide
from flowdapt.domain.seen_event import seen_event
from flowdapt.ports.broker import EVENT_ADDED, RUN_ENDED, RUN_PROGRESS, Broker, Message
from flowdapt.ports.clock import Clock
from flowdapt.ports.store import Store
from flowdapt.services.firing import Firing
from flowdapt.services.planning import Cause
from flowdapt.services.rulebook import TELLS_OF_RULES, Armed, Rulebook

__all__ = ["CONSUMER", "Triggers"]

log = structlog.get_logger(__name__)

# Under this name the store keeps how far conditions have read the journal.
CONSUMER = "triggers"
_POLL_S = 5.0
_BATCH = 200
_HINTS = 1_000
# How far the wall clock may part from the monotonic one before that is told.
_JUMP_S = 60.0
# Noting the place in the journal more often costs commits and saves only looking again.
_NOTE_S = 1.0


class Triggers:
    """The trigger service of one daemon; several may watch the same store."""

    def __init__(
        self,
        *,
        store: Store,
        broker: Broker,
        clock: Clock,
        firing: Firing,
        report: Callable[[str | None], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._broker = broker
        self._clock = clock
        self._firing = firing
        self._report = report
        self._book = Rulebook(store)
        self._changed = trio.Event()
        self._draining = False
        self._at_start = True
        self._cursor: int | None = None
        self._noted: int | None = None
        self._noted_at = 0.0
        self._turns_looked_at = 0.0

    # -- life ------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; ready when the rules are known."""
        topics = (EVENT_ADDED, RUN_ENDED, RUN_PROGRESS)
        async with (
            self._broker.subscribe(EVENT_ADDED, capacity=_HINTS) as changes,
            self._broker.subscribe(*topics, capacity=1) as facts,
            trio.open_nursery() as nursery,
        ):
            await self._tolerate("rules", self._refresh)
            nursery.start_soon(self._watch_time)
            nursery.start_soon(self._watch_events, facts)
            task_status.started()
            async for message in changes:
                if message.key in TELLS_OF_RULES:
                    await self._tolerate("rules", self._refresh)

    def drain(self) -> None:
        """Fire nothing more."""
        self._draining = True

    def resume(self) -> None:
        """Take a drain back."""
        self._draining = False
        self._wake()

    @property
    def broken(self) -> dict[str, str]:
        """Return the rules that mean nothing, with the reasons."""
        return dict(self._book.broken)

    @property
    def counts(self) -> dict[str, int]:
        """Return how many rules there are, and how many of them are paused or mean nothing."""
        book = self._book
        return {"rules": book.known, "paused": book.paused, "broken": len(book.broken)}

    async def _refresh(self) -> None:
        if await self._book.refresh():
            self._read_again()

    def _read_again(self) -> None:
        self._report(_trouble(self._book.broken))
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def _tolerate(self, what: str, work: Callable[[], Awaitable[None]]) -> bool:
        """Do the work; what fails is done again at the next look. Return whether it was done."""
        try:
            try:
                await work()
            except StaleRule:
                await self._read_anew()
                return False
        except FlowdaptError as error:
            log.warning("triggers wait", what=what, reason=error.message)
            return False
        except Exception:  # a bug met by one rule must not silence the others
            log.exception("a trigger failed", what=what)
            return False
        return True

    async def _read_anew(self) -> None:
        await self._book.refresh(at_once=True)
        self._read_again()

    # -- instants --------------------------------------------------------------------------------

    async def _watch_time(self) -> None:
        wall, elapsed = self._clock.now(), self._clock.monotonic()
        refresh_at = elapsed + _POLL_S
        while True:
            changed = self._changed
            with trio.move_on_after(self._until_next()):
                await changed.wait()
            now, since = self._clock.now(), self._clock.monotonic()
            await self._tell_of_jump((now - wall).total_seconds() - (since - elapsed))
            wall, elapsed = now, since
            if elapsed >= refresh_at:
                refresh_at = elapsed + _POLL_S
                await self._tolerate("rules", self._refresh)
            if self._draining:
                continue
            for armed in self._book.take_due(now):
                await self._look(armed)

    def _until_next(self) -> float:
        at = None if self._draining else self._book.next_at()
        if at is None:
            return _POLL_S
        return min(max((at - self._clock.now()).total_seconds(), 0.0), _POLL_S)

    async def _tell_of_jump(self, seconds: float) -> None:
        if abs(seconds) < _JUMP_S:
            return
        log.warning("the clock jumped", seconds=round(seconds, 3))
        data = f'{{"seconds":{seconds:.3f}}}'
        draft = EventDraft(CLOCK_JUMPED, "clock", data)

        async def tell() -> None:
            await self._store.add_event(draft)

        await self._tolerate("clock", tell)

    async def _look(self, armed: Armed) -> None:
        """Fire what is due of a rule; look again later whatever happens."""
        done = await self._tolerate(f"rule {armed.rule.name}", lambda: self._fire_due(armed))
        if not done and armed.next_at is None and self._book.find(armed.rule.name) is armed:
            self._book.look_again(armed, self._clock.now() + timedelta(seconds=_POLL_S))

    async def _fire_due(self, armed: Armed) -> None:
        times, state = armed.rule.times, armed.state
        assert times is not None
        place = RuleClock(state.generation, state.not_before, state.last_evaluated_at)
        now = self._clock.now()
        spec = armed.rule.spec
        due = decide(times, place, now, catch_up=spec.catch_up, grace_s=spec.misfire_grace)
        if due.missed is not None:
            await self._firing.write(_missed(armed, due.missed))
            armed.evaluated(due.missed.last)
        for slot in due.fire:
            cause = Cause(spec.type, now, scheduled_at=slot.scheduled_at)
            await self._fire(armed, cause, "caught_up" if slot.late else None, slot.scheduled_at)
            armed.evaluated(slot.scheduled_at)
        armed.evaluated(due.evaluated_to)
        self._book.look_again(armed, due.next_at)

    async def _fire(
        self, armed: Armed, cause: Cause, reason: str | None, evaluated_to: datetime | None
    ) -> None:
        fired = await self._firing.fire(
            armed.rule,
            armed.state.generation,
            cause,
            reason=reason,
            evaluated_to=evaluated_to,
        )
        if fired.fire.state is FireState.FAILED and fired.created:
            log.warning("a trigger could not start", rule=armed.rule.name, reason=fired.fire.error)
        if fired.paused:
            await self._read_anew()

    # -- fires that wait for a run to end ----------------------------------------------------------

    async def _start_waiting(self) -> None:
        for fire in await self._store.waiting_fires():
            await self._tolerate(f"rule {fire.rule}", partial(self._continue, fire))

    async def _continue(self, fire: Fire) -> None:
        armed = self._book.find(fire.rule)
        if armed is None or armed.state.generation != fire.generation:
            await self._store.end_waiting(fire.number, reason="rule_changed")
            return
        cause = await self._cause_again(fire)
        if cause is None:
            await self._store.end_waiting(fire.number, reason="event_gone")
            return
        await self._firing.fire(
            armed.rule, fire.generation, cause, reason="waited", waiting=fire.number
        )

    async def _cause_again(self, fire: Fire) -> Cause | None:
        now = self._clock.now()
        if fire.event_cursor is None:
            return Cause(fire.kind, now, scheduled_at=fire.scheduled_at)
        found = await self._store.list_events(after=fire.event_cursor - 1, limit=1)
        # A fire by hand names no event by id: it may be repeated.
        if not found or fire.event_id not in (None, found[0].id):
            return None
        cause = Cause.of_event(found[0], now)
        return cause if fire.event_id is not None else cause.by_hand()

    # -- events ------------------------------------------------------------------------------------

    async def _watch_events(self, hints: AsyncIterator[Message]) -> None:
        while True:
            changed = self._changed
            if self._turns_may_come() and not self._draining:
                await self._tolerate("waiting fires", self._start_waiting)
            if self._draining:
                await self._until_told(hints, changed)
            elif not self._book.has_conditions:
                # Nobody looks at events: a rule that comes begins with its own.
                self._cursor, self._at_start = None, False
                await self._until_told(hints, changed)
            elif self._cursor is None:
                if not await self._tolerate("journal", self._find_place):
                    await self._clock.sleep(_POLL_S)
            elif not await self._read_events(self._cursor):
                await self._until_told(hints, changed)

    def _turns_may_come(self) -> bool:
        """Say whether to look for waiting fires; those of rules that are gone are found by the poll."""
        now = self._clock.monotonic()
        if not self._book.has_queues and now - self._turns_looked_at < _POLL_S:
            return False
        self._turns_looked_at = now
        return True

    async def _until_told(self, hints: AsyncIterator[Message], changed: trio.Event) -> None:
        """Wait for the journal to grow, or for other rules; not for ever: hints may be lost."""
        with trio.move_on_after(_POLL_S):
            if self._book.has_conditions or self._book.has_queues:
                await anext(hints)
            else:
                await changed.wait()

    async def _find_place(self) -> None:
        noted = await self._store.get_cursor(CONSUMER) if self._at_start else None
        if noted is None:
            since = self._book.earliest_condition()
            noted = await self._store.newest_cursor(before=since)
        self._cursor, self._at_start = noted, False

    async def _read_events(self, cursor: int) -> bool:
        """Evaluate the next events; return whether there are more at once."""
        try:
            events = await self._store.list_events(after=cursor, limit=_BATCH)
            for event in events:
                await self._evaluate(event)
                self._cursor = event.cursor
        except Unavailable as error:
            log.warning("triggers wait", what="journal", reason=error.message)
            await self._clock.sleep(_POLL_S)
            return True
        if self._clock.monotonic() - self._noted_at >= _NOTE_S:
            await self._tolerate("journal", self._note_place)
        return len(events) == _BATCH

    async def _note_place(self) -> None:
        if self._cursor is not None and self._cursor != self._noted:
            await self._store.move_cursor(CONSUMER, self._cursor)
            self._noted = self._cursor
        self._noted_at = self._clock.monotonic()

    async def _evaluate(self, event: Event) -> None:
        """Fire the rules that an event meets. Raise Unavailable: it is to be looked at again."""
        if event.causation_depth > MAX_DEPTH:
            return
        seen: dict[str, Any] | None = None
        for armed in list(self._book.conditions(event.type)):
            if event.time < armed.state.not_before:
                continue
            seen = seen or seen_event(event)
            try:
                await self._meet(armed, event, seen)
            except Unavailable:
                raise
            except Exception:  # a bug met by one rule must not silence the others
                log.exception("a trigger failed", rule=armed.rule.name)

    async def _meet(self, armed: Armed, event: Event, seen: dict[str, Any]) -> None:
        condition = armed.rule.condition
        if condition is None or not condition.holds(seen):
            return
        cause = Cause.of_event(event, self._clock.now())
        try:
            await self._fire(armed, cause, None, None)
        except StaleRule:
            await self._read_anew()
            fresh = self._book.find(armed.rule.name)
            if fresh is not None and fresh.rule is not armed.rule:
                await self._meet(fresh, event, seen)


def _trouble(broken: Mapping[str, str]) -> str | None:
    """Return the warning about rules that mean nothing."""
    if not broken:
        return None
    name, reason = next(iter(sorted(broken.items())))
    more = f" ({len(broken) - 1} more: flowdapt trigger ls)" if len(broken) > 1 else ""
    return f"trigger rule {name!r} means nothing: {reason}{more}"


def _missed(armed: Armed, missed: Missed) -> NewFire:
    """Return the one row that tells of slots which are not made up for."""
    return NewFire(
        armed.rule.name,
        armed.rule.revision,
        armed.state.generation,
        armed.rule.spec.type,
        scheduled_at=missed.first,
        state=FireState.MISSED,
        reason="too_late",
        slots=missed.count,
        until=missed.last,
        evaluated_to=missed.last,
    )
