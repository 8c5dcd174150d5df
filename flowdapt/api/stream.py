"""Decide how long answers leave: bytes in pieces, and live data as server-sent events with ids.

A reader that is slow is never buffered for: sources are pulled when it is ready for more. One that
takes nothing for a while is cut off by its connection, and resumes by its last id.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive, Scope, Send

__all__ = [
    "EVENT_STREAM",
    "ByteStream",
    "EventStream",
    "Events",
    "ServerEvent",
    "closed_after",
    "framed",
    "wants_stream",
]

EVENT_STREAM = "text/event-stream"
Pieces = AsyncGenerator[bytes, None]


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event: its data is one line of JSON."""

    data: bytes
    event: str = ""
    id: str = ""

    def encoded(self) -> bytes:
        head = f"event: {self.event}\n" if self.event else ""
        if self.id:
            head += f"id: {self.id}\n"
        return head.encode() + b"data: " + self.data + b"\n\n"


def framed(event: str, ident: str, value: str) -> bytes:
    """Return an event of a JSON value as bytes."""
    return ServerEvent(value.encode(), event, ident).encoded()


# As bytes: several events at once, framed for all readers together.
Events = AsyncGenerator[ServerEvent | bytes, None]
Source = Callable[[], AbstractAsyncContextManager[Events]]


class ByteStream(Response):
    """An answer in pieces, given up when the client goes away."""

    def __init__(
        self, pieces: Pieces, *, media_type: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(headers=headers, media_type=media_type)
        if not headers or "content-length" not in headers:
            del self.headers["content-length"]
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send each piece when the one before has left."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cancel_when_gone, receive, nursery.cancel_scope)
            await self._send_all(send)
            nursery.cancel_scope.cancel()

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async with aclosing(self._pieces) as pieces:
            async for piece in pieces:
                await _send_part(send, piece)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class EventStream(Response):
    """An answer that goes on until its source ends, the client goes away or the daemon stops."""

    media_type = EVENT_STREAM

    def __init__(self, source: Source, *, keep_alive_s: float, stopping: trio.Event) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._source = source
        self._keep_alive_s = keep_alive_s
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events as they come, comments when none do."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cancel_when_gone, receive, nursery.cancel_scope)
            nursery.start_soon(_cancel_when_set, self._stopping, nursery.cancel_scope)
            async with self._source() as events:
                await self._send_all(events, send)
            nursery.cancel_scope.cancel()

    async def _send_all(self, events: Events, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        # Something at once: a client sees that it is connected.
        await _send_part(send, b": open\n\n")
        outgoing, incoming = trio.open_memory_channel[bytes](0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_pump, events, outgoing)
            async with incoming:
                await self._forward(incoming, send)
            nursery.cancel_scope.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _forward(self, incoming: trio.MemoryReceiveChannel[bytes], send: Send) -> None:
        while True:
            part = b": keep-alive\n\n"
            with trio.move_on_after(self._keep_alive_s):
                try:
                    part = await incoming.receive()
                except trio.EndOfChannel:
                    return
            await _send_part(send, part)


async def _pump(events: Events, outgoing: trio.MemorySendChannel[bytes]) -> None:
    async with outgoing, aclosing(events):
        async for event in events:
            await outgoing.send(event if isinstance(event, bytes) else event.encoded())


async def cancel_when_gone(receive: Receive, scope: trio.CancelScope) -> None:
    """Cancel when the client has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _cancel_when_set(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


async def _send_part(send: Send, part: bytes) -> None:
    await send({"type": "http.response.body", "body": part, "more_body": True})


@asynccontextmanager
async def closed_after(source: AsyncIterator[object]) -> AsyncIterator[None]:
    """Close a source at the end of the block, when it is a generator: trio wants that said."""
    try:
        yield
    finally:
        if isinstance(source, AsyncGenerator):
            await source.aclose()


def wants_stream(accept: str) -> bool:
    """Say whether the Accept header asks for an event stream."""
    return any(part.partition(";")[0].strip() == EVENT_STREAM for part in accept.split(","))
