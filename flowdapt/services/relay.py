"""Carry the journal to other systems through an outside broker, and what they send into the journal.

Where this stands is a cursor in the store, moved after the server has acknowledged: whoever dies in between
sends a batch again. A broker that is down holds up nothing but this.
"""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Callable
from datetime import datetime

import trio

from flowdapt.domain.errors import BrokerUnavailable, FlowdaptError, Unavailable
from flowdapt.domain.events import BROKER_CONNECTED, BROKER_LOST, EventDraft
from flowdapt.failpoints import failpoint
from flowdapt.logs import get_log
from flowdapt.ports.broker import (
    BROKER_STATE,
    EVENT_ADDED,
    RUN_ENDED,
    RUN_PROGRESS,
    RUN_READY,
    Broker,
    Incoming,
    Message,
)
from flowdapt.ports.clock import Clock
from flowdapt.ports.store import Store

__all__ = ["BROKER_CONNECTED", "BROKER_LOST", "CONSUMER", "Relay"]

CONSUMER = "relay"
LOOK_S = 5.0
# A burst of changes is one batch.
CALM_S = 0.02
BATCH = 100
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
# A flapping server is told of once, not each time.
SETTLED_S = 5.0

log = get_log("flowdapt.relay")


class Relay:
    """One daemon's part in it; several on one database share the cursor.

    `report` is told the trouble with the broker in words, and None when there is none.
    """

    def __init__(
        self,
        *,
        store: Store,
        broker: Broker,
        clock: Clock,
        report: Callable[[str | None], None] = lambda trouble: None,
    ) -> None:
        self._store = store
        self._broker = broker
        self._clock = clock
        self._report = report
        self._stuck: str | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry events both ways until cancelled; at once when the broker carries none."""
        task_status.started()
        if not self._broker.carries_events:
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send)
            nursery.start_soon(self._take)
            nursery.start_soon(self._watch)

    # -- out ---------------------------------------------------------------------------------------

    async def _send(self) -> None:
        pause = _Pause()
        topics = (EVENT_ADDED, RUN_PROGRESS, RUN_ENDED, RUN_READY, BROKER_STATE)
        async with self._broker.subscribe(*topics, capacity=1) as hints:
            while True:
                try:
                    full = await self._send_batch()
                except FlowdaptError as error:
                    self._note_stuck(f"events are not sent: {error.message}")
                    await self._wait_for_recovery(pause.next_s())
                else:
                    pause = _Pause()
                    self._note_stuck(None)
                    if not full:
                        await _next_look(hints)

    async def _send_batch(self) -> bool:
        """Send what is new, at most a batch of it; return whether there may be more."""
        cursor = await self._cursor()
        events = await self._store.list_events(after=cursor, limit=BATCH)
        if not events:
            return False
        await self._broker.relay(events)
        failpoint("relay.after_send")
        await self._store.move_cursor(CONSUMER, events[-1].cursor)
        return len(events) == BATCH

    async def _cursor(self) -> int:
        """Return where to go on. What was there before the first time is not sent."""
        # Read each time: another daemon on this database may have sent it meanwhile.
        cursor = await self._store.get_cursor(CONSUMER)
        if cursor is None:
            cursor = await self._store.newest_cursor()
            await self._store.move_cursor(CONSUMER, cursor)
        return cursor

    async def _wait_for_recovery(self, seconds: float) -> None:
        """Sleep, but not longer than until the server answers again."""
        async with self._broker.subscribe(BROKER_STATE, capacity=1) as changes:
            with trio.move_on_after(seconds):
                while True:
                    await anext(changes)
                    if self._broker.state().connected:
                        return

    # -- in ----------------------------------------------------------------------------------------

    async def _take(self) -> None:
        async with self._broker.incoming() as incoming:
            async for one in incoming:
                await self._keep(one.event)
                failpoint("relay.after_take")
                await self._acknowledge(one)

    async def _keep(self, event: EventDraft) -> None:
        """Write the event, however long that takes; one that the store refuses is given up."""
        pause = _Pause()
        while True:
            try:
                await self._store.add_event(event)
            except Unavailable as error:
                log.warning("an event from outside waits for the store", reason=error.message)
                await self._clock.sleep(pause.next_s())
            except FlowdaptError as error:
                log.warning("an event from outside is lost", id=event.id, reason=error.message)
                return
            else:
                self._broker.publish(Message(EVENT_ADDED, event.type))
                return

    async def _acknowledge(self, one: Incoming) -> None:
        try:
            await one.ack()
        except BrokerUnavailable as error:
            # It comes again, and is the same event then.
            log.debug("an event could not be acknowledged", id=one.event.id, reason=error.message)

    # -- the broker's state ------------------------------------------------------------------------

    async def _watch(self) -> None:
        told = True
        async with self._broker.subscribe(BROKER_STATE, capacity=1) as changes:
            while True:
                since = self._clock.now()
                connected = self._report_state(since)
                if connected != told and await self._still(connected, changes):
                    await self._tell(connected, since)
                    told = connected
                elif connected == told:
                    await anext(changes)

    def _report_state(self, since: datetime) -> bool:
        state = self._broker.state()
        trouble = f"the broker does not answer since {since:%H:%M:%S} UTC: {state.reason}"
        self._report(self._stuck if state.connected else trouble)
        return state.connected

    def _note_stuck(self, trouble: str | None) -> None:
        """Report what fails although the server answers: it may have no room, or no streams."""
        if trouble == self._stuck:
            return
        self._stuck = trouble
        if self._broker.state().connected:
            self._report(trouble)
            if trouble is not None:
                log.warning(trouble)

    async def _still(self, connected: bool, changes: AsyncIterator[Message]) -> bool:
        """Wait whether the state lasts; False as soon as it has changed."""
        with trio.move_on_after(SETTLED_S):
            while True:
                await anext(changes)
                if self._broker.state().connected != connected:
                    return False
        return True

    async def _tell(self, connected: bool, since: datetime) -> None:
        kind = BROKER_CONNECTED if connected else BROKER_LOST
        data = {"since": since.isoformat(), "reason": self._broker.state().reason}
        try:
            await self._store.add_event(EventDraft(kind, "broker", json.dumps(data)))
        except FlowdaptError as error:
            log.warning("the event could not be stored", type=kind, reason=error.message)
        else:
            self._broker.publish(Message(EVENT_ADDED, kind))


class _Pause:
    """Growing pauses, each with full jitter above a half."""

    def __init__(self) -> None:
        self._longest_s = FIRST_PAUSE_S

    def next_s(self) -> float:
        longest_s = self._longest_s
        self._longest_s = min(longest_s * 2, LONGEST_PAUSE_S)
        return longest_s * random.uniform(0.5, 1.0)  # noqa: S311 (no secret)


async def _next_look(hints: AsyncIterator[Message]) -> None:
    with trio.move_on_after(LOOK_S):
        await anext(hints)
    await trio.sleep(CALM_S)
