"""Send one HTTP request to an address that was checked, within bounds: time, connections, bytes read.

No redirects, no proxies, no cookies, nothing from the environment. What an answer means is for the caller.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from ipaddress import ip_address

import h11
import trio

from flowdapt.domain.outbound import Address, Allowed, WebTarget

__all__ = ["Answer", "NoAnswer", "NotAllowed", "Request", "Resolve", "Sender", "resolve_by_system"]

TOTAL_S = 10.0
# One address that swallows packets leaves time for the next.
CONNECT_S = 3.0
MAX_ADDRESSES = 3
# Once the status is known the rest is a courtesy.
REST_S = 1.0
ANSWER_BYTES = 64 * 1024
_EXCERPT_BYTES = 400
_HEAD_BYTES = 16 * 1024
_CHUNK_BYTES = 8 * 1024
# A resolver that hangs keeps its thread for minutes; the database's threads are others.
_LOOKUPS = 8

Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]


class NotAllowed(Exception):
    """The host leads to an address that webhooks may not call."""


class NoAnswer(Exception):
    """Nothing came back that could be understood."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent. `headers` are complete but for Host, Content-Length and Connection."""

    method: str
    target: WebTarget
    headers: Sequence[tuple[str, str]]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `excerpt` is the beginning of the body."""

    status: int
    retry_after: str
    excerpt: bytes


class Sender:
    """Sends requests to public and to allowed addresses. `tls` is made when it is first needed."""

    def __init__(
        self,
        allowed: Allowed,
        *,
        resolve: Resolve | None = None,
        tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
    ) -> None:
        self._allowed = allowed
        self._resolve = resolve or partial(resolve_by_system, trio.CapacityLimiter(_LOOKUPS))
        self._make_tls = tls

    async def send(self, request: Request) -> Answer:
        """Send it; raise NotAllowed or NoAnswer. Takes ten seconds at most."""
        with trio.move_on_after(TOTAL_S):
            return await self._exchange(request)
        raise NoAnswer(f"{request.target.host} did not answer within {TOTAL_S:g} s")

    async def _exchange(self, request: Request) -> Answer:
        target = request.target
        addresses = await self._resolved(target)
        if refusal := self._allowed.refusal(target.host, addresses):
            raise NotAllowed(refusal)
        stream = await _connected(target, addresses)
        try:
            return await _Exchange(await self._secured(stream, target)).run(request)
        except trio.BrokenResourceError as error:
            raise NoAnswer(f"{target.host} {_why(error)}") from None
        except h11.RemoteProtocolError:
            raise NoAnswer(f"{target.host} does not speak HTTP/1.1") from None
        finally:
            await trio.aclose_forcefully(stream)

    async def _resolved(self, target: WebTarget) -> Sequence[Address]:
        if target.address is not None:
            return [target.address]
        try:
            addresses = await self._resolve(target.host, target.port)
        except OSError as error:
            raise NoAnswer(f"{target.host} cannot be found: {error.strerror or error}") from None
        if not addresses:
            raise NoAnswer(f"{target.host} has no address")
        return addresses

    async def _secured(self, stream: trio.SocketStream, target: WebTarget) -> trio.abc.Stream:
        if target.scheme == "http":
            return stream
        context = await trio.to_thread.run_sync(lambda: self._tls)
        secured = trio.SSLStream(
            stream, context, server_hostname=target.host, https_compatible=True
        )
        await secured.do_handshake()
        return secured

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return self._make_tls()


class _Exchange:
    """One request and its answer on one connection."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_BYTES)
        self._left = ANSWER_BYTES

    async def run(self, request: Request) -> Answer:
        await self._stream.send_all(self._written(request))
        head = await self._head()
        told = dict(head.headers).get(b"retry-after", b"").decode("latin-1")
        return Answer(head.status_code, told, await self._excerpt())

    def _written(self, request: Request) -> bytes:
        headers = [
            ("Host", request.target.authority),
            *request.headers,
            ("Content-Length", str(len(request.body))),
            ("Connection", "close"),
        ]
        events = (
            h11.Request(method=request.method, target=request.target.path, headers=headers),
            h11.Data(data=request.body),
            h11.EndOfMessage(),
        )
        return b"".join(self._http.send(event) or b"" for event in events)

    async def _head(self) -> h11.Response:
        while True:
            event = await self._next()
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise h11.RemoteProtocolError("no response")

    async def _excerpt(self) -> bytes:
        """Read on within bounds: the receiver may still be writing, and the end is not awaited for long."""
        text = b""
        with (
            trio.move_on_after(REST_S),
            suppress(trio.BrokenResourceError, h11.RemoteProtocolError),
        ):
            while isinstance(event := await self._next(), h11.Data):
                text += event.data[: _EXCERPT_BYTES - len(text)]
        return text

    async def _next(self) -> object:
        """Return the next event, h11.NEED_DATA when as much was read as may be."""
        while (event := self._http.next_event()) is h11.NEED_DATA and self._left > 0:
            chunk = await self._stream.receive_some(min(_CHUNK_BYTES, self._left))
            self._left -= len(chunk)
            self._http.receive_data(bytes(chunk))
        return event


async def resolve_by_system(
    lookups: trio.CapacityLimiter, host: str, port: int
) -> Sequence[Address]:
    """Return the addresses of a name, as the system orders them. Raise OSError without any."""
    found = await trio.to_thread.run_sync(
        partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM),
        abandon_on_cancel=True,
        limiter=lookups,
    )
    return list(dict.fromkeys(ip_address(place[4][0]) for place in found))


async def _connected(target: WebTarget, addresses: Sequence[Address]) -> trio.SocketStream:
    """Connect to the first of these addresses that answers: the name is not asked for again."""
    why = "does not answer"
    for address in addresses[:MAX_ADDRESSES]:
        with trio.move_on_after(CONNECT_S):
            try:
                return await trio.open_tcp_stream(str(address), target.port)
            except OSError as error:
                cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
                why = f"cannot be reached: {cause.strerror or cause}"
    raise NoAnswer(f"{target.host} {why}")


def _why(error: trio.BrokenResourceError) -> str:
    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"has no certificate that holds: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError):
        return f"does not agree on TLS: {cause.reason}"
    return "ended the connection"
