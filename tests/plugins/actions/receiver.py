"""A real HTTP server on the loopback that answers as a test says and remembers what it was sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import h11
import trio

Answer = Callable[[trio.abc.Stream], Awaitable[None]]


@dataclass
class Received:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """`answer` writes the answer's bytes; the connection is closed after it."""

    port: int = 0
    answer: Answer = field(default_factory=lambda: status(200))
    requests: list[Received] = field(default_factory=list)
    connections: int = 0

    def url(self, host: str = "127.0.0.1", path: str = "/") -> str:
        return f"http://{host}:{self.port}{path}"

    async def serve(self, stream: trio.abc.Stream) -> None:
        self.connections += 1
        async with stream:
            try:
                request = await _read(stream)
                if request is not None:
                    self.requests.append(request)
                    await self.answer(stream)
            except (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError):
                pass


async def _read(stream: trio.abc.Stream) -> Received | None:
    http, head, body = h11.Connection(h11.SERVER), None, b""
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(bytes(await stream.receive_some(65536)))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            assert head is not None
            headers = {name.decode(): value.decode() for name, value in head.headers}
            return Received(head.method.decode(), head.target.decode(), headers, body)
        else:
            return None


def status(code: int, body: str = "", **headers: str) -> Answer:
    """Return what answers with this status."""
    lines = [f"HTTP/1.1 {code} X", f"content-length: {len(body.encode())}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return raw(("\r\n".join(lines) + "\r\n\r\n" + body).encode())


def raw(data: bytes) -> Answer:
    async def write(stream: trio.abc.Stream) -> None:
        await stream.send_all(data)

    return write


async def silence(stream: trio.abc.Stream) -> None:
    """Never answer."""
    await trio.sleep_forever()


@asynccontextmanager
async def receiving(
    wrap: Callable[[trio.SocketStream], trio.abc.Stream] = lambda stream: stream,
) -> AsyncIterator[Receiver]:
    """Serve on a free port of the loopback."""
    receiver = Receiver()

    async def serve(stream: trio.SocketStream) -> None:
        await receiver.serve(wrap(stream))

    async with trio.open_nursery() as nursery:
        (listener, *_) = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        receiver.port = listener.socket.getsockname()[1]
        yield receiver
        nursery.cancel_scope.cancel()
