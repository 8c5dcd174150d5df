"""Watch the journal for events that rules wait for; each is met once, from where the last look ended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import structlog
import trio

from flowdapt.domain.errors import StaleRule, Unavailable
from flowdapt.domain.events import Event
from flowdapt.domain.fire import MAX_DEPTH
from flowdapt.domain.seen_event import seen_event
from flowdapt.ports.broker import Message
from flowdapt.services.planning import Cause
from flowdapt.services.rulebook import Armed
from flowdapt.services.turns import Turns
from flowdapt.services.watching import POLL_S, Watch

__all__ = ["CONSUMER", "EventWatch"]

log = structlog.get_logger(__name__)

# Under this name the store keeps how far conditions have read the journal.
CONSUMER = "triggers"
_BATCH = 200
# Noting the place in the journal more often costs commits and saves only looking again.
_NOTE_S = 1.0


class EventWatch:
    """Fires condition rules, and what waited for a run to end. Without such rules it reads nothing."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._turns = Turns(watch)
        self._at_start = True
        self._cursor: int | None = None
        self._noted: int | None = None
        self._noted_at = 0.0

    async def run(self, hints: AsyncIterator[Message]) -> None:
        """Watch until cancelled; `hints` say that the journal may have grown."""
        while True:
            changed = self._watch.changed
            if self._turns.may_come() and not self._watch.draining:
                await self._watch.tolerate("waiting fires", self._turns.take)
            if self._watch.draining:
                await self._until_told(hints, changed)
            elif not self._watch.book.has_conditions:
                # Nobody looks at events: a rule that comes begins with its own.
                self._cursor, self._at_start = None, False
                await self._until_told(hints, changed)
            elif self._cursor is None:
                if not await self._watch.tolerate("journal", self._find_place):
                    await self._watch.clock.sleep(POLL_S)
            elif not await self._read_events(self._cursor):
                await self._until_told(hints, changed)

    async def _until_told(self, hints: AsyncIterator[Message], changed: trio.Event) -> None:
        """Wait for the journal to grow, or for other rules; not for ever: hints may be lost."""
        with trio.move_on_after(POLL_S):
            if self._watch.book.has_conditions or self._watch.book.has_queues:
                await anext(hints)
            else:
                await changed.wait()

    async def _find_place(self) -> None:
        noted = await self._watch.store.get_cursor(CONSUMER) if self._at_start else None
        if noted is None:
            since = self._watch.book.earliest_condition()
            noted = await self._watch.store.newest_cursor(before=since)
        self._cursor, self._at_start = noted, False

    async def _read_events(self, cursor: int) -> bool:
        """Evaluate the next events; return whether there are more at once."""
        try:
            events = await self._watch.store.list_events(after=cursor, limit=_BATCH)
            for event in events:
                if self._watch.draining:
                    return False
                await self._evaluate(event)
                self._cursor = event.cursor
        except Unavailable as error:
            log.warning("triggers wait", what="journal", reason=error.message)
            await self._watch.clock.sleep(POLL_S)
            return True
        if self._watch.clock.monotonic() - self._noted_at >= _NOTE_S:
            await self._watch.tolerate("journal", self._note_place)
        return len(events) == _BATCH

    async def _note_place(self) -> None:
        if self._cursor is not None and self._cursor != self._noted:
            await self._watch.store.move_cursor(CONSUMER, self._cursor)
            self._noted = self._cursor
        self._noted_at = self._watch.clock.monotonic()

    async def _evaluate(self, event: Event) -> None:
        """Fire the rules that an event meets. Raise Unavailable: it is to be looked at again."""
        if event.causation_depth > MAX_DEPTH:
            return
        seen: dict[str, Any] | None = None
        for armed in list(self._watch.book.conditions(event.type)):
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
        cause = Cause.of_event(event, self._watch.clock.now())
        try:
            await self._watch.fire(armed, cause, None, None)
        except StaleRule:
            await self._watch.read_anew()
            fresh = self._watch.book.find(armed.rule.name)
            if fresh is not None and fresh.rule is not armed.rule:
                await self._meet(fresh, event, seen)
