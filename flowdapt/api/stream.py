"""Decide how live data leaves: server-sent events with ids, a keep-alive, and an end when nobody reads.

A reader that is slow is never buffered for: sources are pulled when it is ready for more. Only a
reader that takes nothing for a while is cut off, by the connection; it resumes by its last id.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio
from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

__all__ = ["EVENT_STREAM", "EventStream", "ServerEvent", "wants_stream"]

EVENT_STREAM = "text/event-stream"


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


Source = Callable[[], AbstractAsyncContextManager[AsyncIterator[ServerEvent]]]


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
            nursery.start_soon(self._stop_when_gone, receive, nursery.cancel_scope)
            nursery.start_soon(self._stop_when_told, nursery.cancel_scope)
            await self._send_all(send)
            nursery.cancel_scope.cancel()

    async def _stop_when_gone(self, receive: Receive, scope: trio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.cancel()

    async def _stop_when_told(self, scope: trio.CancelScope) -> None:
        await self._stopping.wait()
        scope.cancel()

    async def _send_all(self, send: Send) -> None:
        async with self._source() as events:
            start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
            await send(start)
            # Something at once: a client sees that it is connected.
            await _send_part(send, b": open\n\n")
            iterator = aiter(events)
            outgoing, incoming = trio.open_memory_channel[bytes](0)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_pump, iterator, outgoing)
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


async def _pump(
    events: AsyncIterator[ServerEvent], outgoing: trio.MemorySendChannel[bytes]
) -> None:
    async with outgoing:
        async for event in events:
            await outgoing.send(event.encoded())


async def _send_part(send: Send, part: bytes) -> None:
    await send({"type": "http.response.body", "body": part, "more_body": True})


def wants_stream(accept: str) -> bool:
    """Say whether the Accept header asks for an event stream."""
    return any(part.partition(";")[0].strip() == EVENT_STREAM for part in accept.split(","))
