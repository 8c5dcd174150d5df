"""Read the journal once for everybody who follows it, and keep the newest of it at hand.

Decides what a reader gets next: what lies at hand, what the store still has, or that it missed some.
How an event looks on the wire is the caller's business.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import trio

from flowdapt.domain.errors import FlowdaptError, Unavailable
from flowdapt.domain.event_filter import EventFilter
from flowdapt.domain.events import Event, EventDraft
from flowdapt.logs import get_log
from flowdapt.ports.broker import (
    EVENT_ADDED,
    RUN_ENDED,
    RUN_PROGRESS,
    RUN_READY,
    Broker,
    Message,
)
from flowdapt.ports.store import Store
from flowdapt.services.feed_ring import PIECE_BYTES, Kept, Missed, Ring

__all__ = ["KEPT_BYTES", "KEPT_EVENTS", "Feed", "Frame", "Place"]

KEPT_EVENTS = 1_000
KEPT_BYTES = 16 * 1024**2
PAGE = 200
FIRST_PAGE = 20
PAGE_BYTES = 512 * 1024
LOOK_S = 5.0
# The first event of a burst is read at once, the others a few times a second.
CALM_S = 0.05
TROUBLE_S = 1.0
_HINTS = (EVENT_ADDED, RUN_PROGRESS, RUN_ENDED, RUN_READY)

log = get_log("flowdapt.feed")

# Makes bytes of an event: its type, its id, its JSON value.
Frame = Callable[[str, str, str], bytes]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reader goes on: after this cursor, and what it has missed until there."""

    cursor: int
    missed: Missed | None = None


class Feed:
    """The readers of the journal in one daemon. Without any nothing is read and nothing is kept."""

    def __init__(
        self,
        *,
        store: Store,
        broker: Broker,
        frame: Frame,
        kept_events: int = KEPT_EVENTS,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        self._store = store
        self._broker = broker
        self._frame = frame
        self._ring = Ring(kept_events, kept_bytes)
        self._incarnation = ""
        self._awake = False
        self._readers = 0
        self._asked = trio.Event()
        self._ready = trio.Event()
        self._grown = trio.Event()

    @property
    def readers(self) -> int:
        """Return how many follow the journal now."""
        return self._readers

    # -- the tail ----------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Read what is new while anybody wants it, until cancelled."""
        task_status.started()
        while True:
            await self._asked.wait()
            async with self._broker.subscribe(*_HINTS, capacity=1) as hints:
                await self._tail(hints)

    async def _tail(self, hints: AsyncIterator[Message]) -> None:
        troubled = False
        while self._readers:
            try:
                full = await self._look()
            except FlowdaptError as error:
                if not troubled:
                    log.warning("the journal cannot be read now", reason=error.message)
                troubled = True
                await trio.sleep(TROUBLE_S)
            else:
                troubled = False
                if not full:
                    await _next_look(hints)
        self._sleep()

    async def _look(self) -> bool:
        """Take in what is new, at most a page of it; return whether there may be more."""
        if not self._awake:
            await self._begin()
        found = await self._store.list_events(after=self._ring.newest, limit=PAGE)
        for event in found:
            self._ring.add(Kept(event, self._framed(event)))
        if found:
            self._grown.set()
            self._grown = trio.Event()
        return len(found) == PAGE

    async def _begin(self) -> None:
        self._incarnation = (await self._store.info()).incarnation
        self._ring.restart(await self._store.newest_cursor())
        self._awake = True
        self._ready.set()

    def _sleep(self) -> None:
        """Forget everything: nobody listens, and the next may come after days."""
        self._ring.restart(0)
        self._awake = False
        self._ready, self._asked = trio.Event(), trio.Event()

    def _framed(self, event: Event) -> bytes:
        ident = f"{self._incarnation}-{event.cursor}"
        return self._frame(event.type, ident, event.model_dump_json())

    # -- readers -----------------------------------------------------------------------------------

    async def place(self, *, after: int | None = None, last_id: str | None = None) -> Place:
        """Return where a reader begins: behind its last id, after a cursor, or now."""
        if last_id is None and after is not None:
            return Place(after)
        newest = await self._store.newest_cursor()
        if last_id is None:
            return Place(newest)
        incarnation = self._incarnation if self._awake else (await self._store.info()).incarnation
        known, _, digits = last_id.rpartition("-")
        if known != incarnation or not (digits.isascii() and digits.isdigit()):
            reason = "the journal is not the one that was read before"
            return Place(0, Missed(reason, None, 0, None))
        cursor = int(digits[:18])
        if cursor > newest:
            # A machine that died took the newest events along, after they had been sent.
            reason = "the journal ends before what was read"
            return Place(newest, Missed(reason, cursor, newest, None))
        return Place(cursor)

    @asynccontextmanager
    async def follow(
        self, place: Place, where: EventFilter
    ) -> AsyncIterator[AsyncGenerator[bytes, None]]:
        """Yield pieces of framed events, each once and in order, without end.

        What is older than what is kept comes from the store, page by page. Whoever had come to what
        is kept and then fell behind it is told what it missed, and goes on with the oldest kept.
        """
        self._readers += 1
        self._asked.set()
        pieces = self._pieces(place, where)
        try:
            yield pieces
        finally:
            self._readers -= 1
            await pieces.aclose()

    async def _pieces(self, place: Place, where: EventFilter) -> AsyncGenerator[bytes, None]:
        await self._ready.wait()
        if place.missed is not None:
            yield self._told(place.missed)
        cursor = place.cursor
        size = FIRST_PAGE
        while not self._ring.reaches(cursor):
            upto = self._ring.newest
            found = await self._older(cursor, where, size)
            if found is None:
                return
            last = found[-1].cursor if found else cursor
            cursor = last if len(found) == size else max(last, upto)
            pieces = self._joined(found)
            # What a stuck reader keeps is its next piece and little more, however large events are.
            size = _next_size(size, sum(map(len, pieces)))
            del found
            for piece in pieces:
                yield piece
        async with aclosing(self._live(cursor, where)) as live:
            async for piece in live:
                yield piece

    async def _older(self, cursor: int, where: EventFilter, limit: int) -> list[Event] | None:
        """Return a page from the store, however long that takes; None when there is no such run."""
        while True:
            try:
                return await self._store.list_events(
                    after=cursor,
                    run=where.run,
                    types=where.types,
                    workflow=where.workflow,
                    subject=where.subject,
                    limit=limit,
                )
            except Unavailable:
                await trio.sleep(TROUBLE_S)
            except FlowdaptError as error:
                log.info("a reader of the journal is given up", reason=error.message)
                return None

    def _joined(self, events: list[Event]) -> list[bytes]:
        pieces = [bytearray()]
        for event in events:
            if len(pieces[-1]) >= PIECE_BYTES:
                pieces.append(bytearray())
            pieces[-1] += self._framed(event)
        return [bytes(piece) for piece in pieces if piece]

    async def _live(self, cursor: int, where: EventFilter) -> AsyncGenerator[bytes, None]:
        at = self._ring.after(cursor)
        while True:
            grown = self._grown
            if at < self._ring.first:
                missed = self._ring.missed(cursor, at)
                cursor, at = missed.to, self._ring.first
                yield self._told(missed)
            piece, at, cursor = self._ring.piece(at, cursor, where)
            if piece:
                yield piece
            elif at == self._ring.end:
                await grown.wait()

    def _told(self, missed: Missed) -> bytes:
        data = {
            "reason": missed.reason,
            "from": missed.start,
            "to": missed.to,
            "missed": missed.count,
        }
        return self._frame("gap", f"{self._incarnation}-{missed.to}", json.dumps(data))

    # -- writing -----------------------------------------------------------------------------------

    async def post(self, draft: EventDraft) -> tuple[Event, bool]:
        """Write somebody's event, durably, and wake who waits for it; say whether it is new."""
        newest = 0 if draft.id is None else await self._store.newest_cursor()
        event = await self._store.add_event(draft)
        self._broker.publish(Message(EVENT_ADDED, event.type))
        return event, event.cursor > newest


async def _next_look(hints: AsyncIterator[Message]) -> None:
    await trio.sleep(CALM_S)
    with trio.move_on_after(LOOK_S):
        await anext(hints)


def _next_size(size: int, read_bytes: int) -> int:
    """Return how many events to read next, by how large the last ones were."""
    if read_bytes > PAGE_BYTES:
        return max(size // 2, 1)
    return min(size * 2, PAGE) if read_bytes < PAGE_BYTES // 4 else size
