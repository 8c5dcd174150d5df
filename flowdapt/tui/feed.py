"""Keep one stream of events open for the whole TUI, and tell what changed, at most ten times a second.

Finds the daemon again after it went away, goes on behind the last event it heard, and says when
events were left out. What the connection is called meanwhile is `model.link`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from flowdapt.client.endpoints import system
from flowdapt.client.stream import EventDecoder
from flowdapt.client.wire import Response, error_of
from flowdapt.domain.errors import FlowdaptError, Unreachable
from flowdapt.tui.model.link import Link
from flowdapt.tui.model.news import ALL, LINK, News, news_of

if TYPE_CHECKING:
    from flowdapt.client import AsyncClient
    from flowdapt.client.transports import AsyncTransport

__all__ = ["Feed", "Starter"]

# Starts the local daemon and returns when it is ready; blocks, so it is called in a thread.
Starter = Callable[[], object]

EVERY_S = 0.1
_STATUS_EVERY_S = 2.0
_STATUS_WITHIN_S = 5.0
_FIRST_S, _LONGEST_S = 0.1, 2.0
_HELD_MAX = 5000


class Feed:
    """The one stream. `tell` is called on the loop with what changed."""

    def __init__(
        self,
        client: AsyncClient,
        transport: AsyncTransport,
        link: Link,
        *,
        tell: Callable[[News], None],
        now: Callable[[], datetime],
        start: Starter | None = None,
    ) -> None:
        self._client, self._transport, self._link = client, transport, link
        self._tell, self._now, self._start = tell, now, start
        self._held: list[Mapping[str, Any]] = []
        self._parts: set[str] = set()
        self._something = asyncio.Event()
        self._last_id: str | None = None
        self._pause = _FIRST_S

    async def run(self) -> None:
        """Stay connected until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._flush())
            group.create_task(self._watch_status())
            while True:
                await self._attempt()
                await asyncio.sleep(self._pause)
                self._pause = min(self._pause * 2, _LONGEST_S)

    async def _attempt(self) -> None:
        """Connect and follow until it breaks; leave in the link what happened."""
        try:
            await self._greet()
            await self._follow()
        except Unreachable as error:
            if not await self._started():
                self._lost(error)
        except FlowdaptError as error:
            self._lost(error)
        except ValueError as error:
            self._lost(FlowdaptError(f"the daemon tells what is no event: {error}"))

    async def _greet(self) -> None:
        status = await self._client.status()
        self._link.greeted(status, self._now())
        self._note(ALL)

    async def _follow(self) -> None:
        request = system.watch_events().request
        if self._last_id is not None:
            request = request.with_header("last-event-id", self._last_id)
        decoder = EventDecoder()
        async with self._transport.stream(request) as answer:
            if answer.status >= 400:  # noqa: PLR2004 - the first status that refuses
                raise error_of(Response(answer.status, answer.headers))
            async for chunk in answer.chunks:
                self._pause = _FIRST_S
                self._link.heard(self._now())
                for event in decoder.feed(chunk):
                    self._take(event.type, event.json())
                self._last_id = decoder.last_id or self._last_id
        raise Unreachable("the daemon ended the stream", fix="flowdapt status")

    def _take(self, kind: str, value: Any) -> None:
        if not isinstance(value, dict):
            return
        if kind == "gap" or len(self._held) >= _HELD_MAX:
            self._link.missed += int(value.get("missed") or 0)
            self._held.clear()
            self._note(ALL)
            return
        self._held.append(value)
        self._something.set()

    def _note(self, *parts: str) -> None:
        self._parts.update(parts)
        self._something.set()

    def _lost(self, error: FlowdaptError) -> None:
        self._link.lost(error.message, self._now(), fix=error.fix or "")
        self._note(LINK)

    async def _started(self) -> bool:
        """Start the daemon once, at the beginning; one that somebody stopped later stays stopped."""
        start, self._start = self._start, None
        if start is None or self._link.status:
            return False
        self._link.starting()
        self._note(LINK)
        try:
            await asyncio.to_thread(start)
        except FlowdaptError as error:
            self._lost(error)
        return True

    def start_with(self, start: Starter) -> None:
        """Start the daemon at the next attempt: a person asked for it."""
        self._start, self._pause = start, 0.0
        self._link.status = {}

    async def _watch_status(self) -> None:
        """Ask now and then how the daemon is: slots, warnings, free disk have no events."""
        while True:
            await asyncio.sleep(_STATUS_EVERY_S)
            if self._link.usable:
                await self._ask_status()
            elif self._link.lost_at is not None:
                self._link.lost(self._link.why, self._now(), fix=self._link.fix)
                self._note(LINK)

    async def _ask_status(self) -> None:
        """Ask once; a failure is left to the stream, which notices by itself that the daemon is gone."""
        try:
            async with asyncio.timeout(_STATUS_WITHIN_S):
                status = await self._client.status()
        except (FlowdaptError, TimeoutError):
            return
        if self._link.usable:
            self._link.greeted(status, self._now())
            self._note(LINK)

    async def _flush(self) -> None:
        while True:
            await self._something.wait()
            self._something.clear()
            held, self._held = self._held, []
            parts, self._parts = self._parts, set()
            news = news_of(held) if held else News(frozenset())
            self._tell(News(news.parts | parts, news.events))
            await asyncio.sleep(EVERY_S)
