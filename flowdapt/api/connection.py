"""Decide how long one connection may take: to send a request, to take an answer, to do nothing.

hypercorn's own connection has no deadline for a whole request and none for sending. What is said on
it is `http11.py`; which function answers is the app's business.
"""

from __future__ import annotations

import select
import socket
import struct
from typing import TYPE_CHECKING, Any, cast

import h11
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated

from flowdapt.api.http11 import Calls, Http11, WorkerContext

if TYPE_CHECKING:
    from hypercorn.typing import AppWrapper

    from flowdapt.api.server import Deadlines

__all__ = ["Connection", "peer_uid"]

RECEIVE_BYTES = 64 * 1024
# A body may take its deadline plus the time that this rate needs.
SLOWEST_BODY_BYTES_S = 64 * 1024
_UCRED = struct.Struct("3i")


def peer_uid(connection: trio.SocketStream) -> int:
    """Return the user at the other end, as the kernel knows it."""
    found = connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    uid: int = _UCRED.unpack(found)[1]
    return uid


def _hung_up(connection: trio.SocketStream) -> bool:
    """Say whether the other end is closed both ways, as it is when its process has ended."""
    poll = select.poll()
    poll.register(connection.socket.fileno(), 0)
    return any(events & (select.POLLHUP | select.POLLERR) for _, events in poll.poll(0))


class Connection:
    """One client. `busy` says that a request has arrived whole and is being answered."""

    def __init__(
        self,
        stream: trio.SocketStream,
        app: AppWrapper,
        config: Config,
        context: WorkerContext,
        deadlines: Deadlines,
    ) -> None:
        self._stream = stream
        self._app = app
        self._config = config
        self._context = context
        self._deadlines = deadlines
        self._sending = trio.Lock()
        self._reading = trio.CancelScope()
        self._protocol: Http11
        self._began: float | None = None
        self._arrived_bytes = 0
        self._closing = False
        self._answered = trio.Event()
        self.idle_since = trio.current_time()

    @property
    def busy(self) -> bool:
        """True while a request is complete and its answer is not."""
        return self._their_state not in (h11.IDLE, h11.SEND_BODY)

    @property
    def idle(self) -> bool:
        """True while nothing of a request has come."""
        return self._began is None and self._their_state is h11.IDLE

    @property
    def _their_state(self) -> Any:
        return cast(h11.Connection, self._protocol.connection).their_state

    async def run(self) -> None:
        """Serve requests until the client goes, is too slow, or `close` is called."""
        async with trio.open_nursery() as nursery:
            self._protocol = Http11(
                self._app,
                self._config,
                cast(Any, self._context),
                cast(Any, Calls(nursery)),
                cast(Any, {}),
                False,
                None,
                None,
                self._send,
            )
            try:
                await self._read()
            finally:
                await trio.aclose_forcefully(self._stream)
            await self._protocol.handle(Closed())

    def close(self) -> None:
        """End the connection unless it is answering a request."""
        if not self.busy:
            self._closing = True
            self._reading.cancel()

    async def _read(self) -> None:
        while not self._closing:
            data = b""
            with trio.CancelScope(deadline=self._deadline()) as self._reading:
                try:
                    data = await self._stream.receive_some(RECEIVE_BYTES)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    return
            if not data:
                await self._answer_the_last()
                return
            if self._began is None:
                self._began = trio.current_time()
            self._arrived_bytes += len(data)
            await self._protocol.handle(RawData(bytes(data)))

    async def _answer_the_last(self) -> None:
        """Go on answering who closed the sending side alone; who is gone altogether hears nothing."""
        if self.busy and not _hung_up(self._stream):
            self._answered = trio.Event()
            await self._answered.wait()

    def _deadline(self) -> float:
        if self.busy:
            return float("inf")
        if self._began is None:
            return self.idle_since + self._deadlines.idle_s
        return self._began + self._deadlines.read_s + self._arrived_bytes / SLOWEST_BODY_BYTES_S

    async def _send(self, event: Event) -> None:
        if isinstance(event, RawData):
            await self._send_bytes(event.data)
        elif isinstance(event, Closed):
            await self._stream.aclose()
            await self._end_protocol()
        elif isinstance(event, Updated) and event.idle:
            self._await_next_request()

    async def _end_protocol(self) -> None:
        await self._protocol.handle(Closed())
        self._answered.set()

    def _await_next_request(self) -> None:
        self._answered.set()
        self._began, self._arrived_bytes = None, 0
        self.idle_since = trio.current_time()
        self._reading.deadline = self._deadline()

    async def _send_bytes(self, data: bytes) -> None:
        async with self._sending:
            with trio.move_on_after(self._deadlines.send_s) as scope:
                try:
                    await self._stream.send_all(data)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    await self._end_protocol()
            if scope.cancelled_caught:
                await trio.aclose_forcefully(self._stream)
                await self._end_protocol()
