"""Speak HTTP/1.1 by hypercorn's protocol: nothing else, with words for what is malformed.

hypercorn may wait for ever to hand a body to a function that has ended, and sends the head of an
answer alone; here it does neither. When to read and how long is `connection.py`.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import h11
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, RawData
from hypercorn.protocol.events import Request
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol
from hypercorn.protocol.http_stream import HTTPStream

from flowdapt.logs import get_log

if TYPE_CHECKING:
    from hypercorn.typing import AppWrapper

__all__ = [
    "FEWER_HEADERS",
    "HEADERS_MAX_BYTES",
    "Calls",
    "Http11",
    "WorkerContext",
    "new_config",
]

# Parts of a body that wait for the function to read them, 64 KiB each.
QUEUED_PARTS = 8
HEADERS_MAX_BYTES = 16 * 1024
FEWER_HEADERS = f"send at most {HEADERS_MAX_BYTES} bytes of headers"

_VERSIONS = frozenset({b"1.0", b"1.1"})
_TOO_LARGE = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
_PLAIN_HTTP = "send one Host, one length of the body, and a path without spaces and controls"

log = get_log("flowdapt.api")


def new_config() -> Config:
    """Return hypercorn's settings for connections that are ours to bound."""
    config = Config()
    config.h11_max_incomplete_size = HEADERS_MAX_BYTES
    config.keep_alive_max_requests = 10_000_000
    config.include_server_header = False
    config.accesslog = None
    config.errorlog = None
    return config


class Flag:
    """An event as hypercorn calls it."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def is_set(self) -> bool:
        return self._event.is_set()

    async def set(self) -> None:
        self._event.set()

    async def clear(self) -> None:
        self._event = trio.Event()

    async def wait(self) -> None:
        await self._event.wait()


class WorkerContext:
    """What hypercorn's protocol asks of its worker: whether serving is to end."""

    event_class = Flag

    def __init__(self) -> None:
        self.terminated = Flag()


class Http11(H11Protocol):
    """HTTP/1.1 alone: no upgrade to HTTP/2 or websockets, and errors that say what is wrong."""

    _head = b""

    async def _check_protocol(self, event: h11.Request) -> None:
        """Take no notice of offers to speak something else, which HTTP allows."""

    async def _create_stream(self, request: h11.Request) -> None:
        if request.http_version not in _VERSIONS:
            await self._send_error_response(HTTPStatus.BAD_REQUEST)
            await self.send(Closed())
            return
        self.stream = HTTPStream(
            self.app,
            self.config,
            self.context,
            self.task_group,
            self.ssl,
            self.client,
            self.server,
            self.stream_send,
            STREAM_ID,
        )
        await self.stream.handle(
            Request(
                stream_id=STREAM_ID,
                headers=list(request.headers),
                http_version=request.http_version.decode(),
                method=request.method.decode("ascii").upper(),
                raw_path=request.target,
                state=self.connection_state,
            )
        )
        self.keep_alive_requests += 1

    async def _send_h11_event(self, event: Any) -> None:
        """Keep the head of an answer until its first bytes: one packet, not two."""
        try:
            data = self.connection.send(event)
        except h11.LocalProtocolError:
            if self.connection.their_state is not h11.ERROR:
                raise
            return
        if isinstance(event, h11.Response):
            self._head = data
            return
        data, self._head = self._head + data, b""
        if data:
            await self.send(RawData(data=data))

    async def _send_error_response(self, status_code: int) -> None:
        # A coding that is not known is the client's slip too: input never makes a 5xx.
        status_code = HTTPStatus.BAD_REQUEST if status_code > _TOO_LARGE else status_code
        body = json.dumps(
            {
                "type": "about:blank",
                "title": HTTPStatus(status_code).phrase,
                "status": status_code,
                "detail": "the request is not HTTP/1.1 as it is read here",
                "code": "http.malformed",
                "fix": FEWER_HEADERS if status_code == _TOO_LARGE else _PLAIN_HTTP,
                "errors": [],
            }
        ).encode()
        headers = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        await self._send_h11_event(
            h11.Response(
                status_code=status_code, headers=[*headers, *self.config.response_headers("h11")]
            )
        )
        await self._send_h11_event(h11.Data(data=body))
        await self._send_h11_event(h11.EndOfMessage())


class Calls:
    """Start the app for each request."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery

    async def spawn_app(
        self,
        app: AppWrapper,
        config: Config,
        scope: Any,
        send: Callable[[Any], Awaitable[None]],
    ) -> Callable[[Any], Awaitable[None]]:
        inbox = _Inbox()
        self._nursery.start_soon(_answer, app, scope, inbox, send)
        return inbox.put


class _Inbox:
    """What a call is sent: parts of the body, a few at a time, and that the client has gone."""

    def __init__(self) -> None:
        self._parts: deque[Any] = deque()
        self._gone = False
        self._changed = trio.lowlevel.ParkingLot()

    async def put(self, message: Any) -> None:
        """Wait for room; once the client or the call is gone, parts are dropped."""
        if message["type"] == "http.disconnect":
            self.end()
            return
        while len(self._parts) >= QUEUED_PARTS and not self._gone:
            await self._changed.park()
        if not self._gone:
            self._parts.append(message)
            self._changed.unpark_all()

    async def receive(self) -> Any:
        """Return the next part, then for ever that the client has gone."""
        while not self._parts and not self._gone:
            await self._changed.park()
        if not self._parts:
            await trio.lowlevel.checkpoint()
            return {"type": "http.disconnect"}
        part = self._parts.popleft()
        self._changed.unpark_all()
        return part

    def end(self) -> None:
        self._gone = True
        self._changed.unpark_all()


async def _answer(
    app: AppWrapper,
    scope: Any,
    inbox: _Inbox,
    send: Callable[[Any], Awaitable[None]],
) -> None:
    try:
        await app(scope, inbox.receive, send, cast(Any, None), cast(Any, None))
    except Exception:
        log.exception("a request failed", path=scope.get("path"))
    finally:
        inbox.end()
    # Without an answer so far this sends a 500; else it ends the exchange.
    await send(None)
