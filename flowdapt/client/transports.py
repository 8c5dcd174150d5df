"""Decide how requests travel: httpx, blocking or async, over the daemon's socket or a URL.

The only module that knows httpx. The command line uses `unix.py` in its place: the same two methods.
"""

from __future__ import annotations

import socket
import traceback
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass
from typing import Protocol

import httpx

from flowdapt.client.wire import ConnectionLost, Request, Response
from flowdapt.domain.errors import InvalidInput, TimedOut, Unreachable

__all__ = ["AsyncHttpxTransport", "AsyncStreamed", "AsyncTransport", "HttpxTransport"]
__all__ += ["Streamed", "Transport"]

CONNECT_S = 5.0
ANSWER_S = 30.0
# The server sends a keep-alive every 15 s: after three missed ones the stream is dead.
SILENCE_S = 50.0


@dataclass(frozen=True, slots=True)
class Streamed:
    """An answer whose body comes in pieces."""

    status: int
    headers: Mapping[str, str]
    chunks: Iterator[bytes]


@dataclass(frozen=True, slots=True)
class AsyncStreamed:
    """An answer whose body comes in pieces, awaited."""

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]


class Transport(Protocol):
    """Carry requests, blocking.

    Both methods raise Unreachable when no connection was made (the request was not sent),
    ConnectionLost when it broke later, TimedOut when no answer came in time.
    """

    def send(self, request: Request) -> Response: ...

    def stream(self, request: Request) -> AbstractContextManager[Streamed]: ...

    def close(self) -> None: ...


class AsyncTransport(Protocol):
    """Carry requests on asyncio or trio; raises as Transport does."""

    async def send(self, request: Request) -> Response: ...

    def stream(self, request: Request) -> AbstractAsyncContextManager[AsyncStreamed]: ...

    async def close(self) -> None: ...


class HttpxTransport:
    """The transport of `Client`. `server` is an http(s) URL, or the path of a Unix socket."""

    def __init__(self, server: str, *, timeout_s: float = ANSWER_S) -> None:
        self._server, self._timeout_s = server, timeout_s
        uds = None if _is_url(server) else server
        self._http = httpx.Client(
            transport=httpx.HTTPTransport(uds=uds, trust_env=False),
            base_url=_base_url(server) if uds is None else "http://localhost",
        )

    def send(self, request: Request) -> Response:
        with _told_in_our_words(self._server):
            answer = self._http.send(_build(self._http, request, self._timeout_s))
        return Response(answer.status_code, _lowered(answer.headers), answer.content)

    @contextmanager
    def stream(self, request: Request) -> Iterator[Streamed]:
        with _told_in_our_words(self._server):
            built = _build(self._http, request, SILENCE_S)
            answer = self._http.send(built, stream=True)
            try:
                chunks = answer.iter_bytes()
                yield Streamed(answer.status_code, _lowered(answer.headers), chunks)
            finally:
                answer.close()

    def close(self) -> None:
        self._http.close()


class AsyncHttpxTransport:
    """The transport of `AsyncClient`. `server` is an http(s) URL, or the path of a Unix socket."""

    def __init__(self, server: str, *, timeout_s: float = ANSWER_S) -> None:
        self._server, self._timeout_s = server, timeout_s
        uds = None if _is_url(server) else server
        self._http = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=uds, trust_env=False),
            base_url=_base_url(server) if uds is None else "http://localhost",
        )

    async def send(self, request: Request) -> Response:
        with _told_in_our_words(self._server):
            answer = await self._http.send(_build(self._http, request, self._timeout_s))
        return Response(answer.status_code, _lowered(answer.headers), answer.content)

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[AsyncStreamed]:
        with _told_in_our_words(self._server):
            built = _build(self._http, request, SILENCE_S)
            answer = await self._http.send(built, stream=True)
            try:
                chunks = answer.aiter_bytes()
                yield AsyncStreamed(answer.status_code, _lowered(answer.headers), chunks)
            finally:
                await answer.aclose()

    async def close(self) -> None:
        await self._http.aclose()


def _is_url(server: str) -> bool:
    return server.startswith(("http://", "https://"))


def _base_url(server: str) -> httpx.URL:
    try:
        return httpx.URL(server)
    except httpx.InvalidURL as error:
        raise InvalidInput(
            f"{server[:80]!r} is no address of a daemon: {error}",
            code="request.invalid",
            fix="write http://HOST:PORT, or the path of a socket",
        ) from None


def _build(
    http: httpx.Client | httpx.AsyncClient, request: Request, answer_s: float
) -> httpx.Request:
    timeout = httpx.Timeout(answer_s + request.patience_s, connect=CONNECT_S)
    return http.build_request(
        request.method,
        request.target,
        headers=list(request.headers),
        content=request.body or None,
        timeout=timeout,
    )


def _lowered(headers: httpx.Headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


@contextmanager
def _told_in_our_words(server: str) -> Iterator[None]:
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        _close_unconnected(error)
        raise Unreachable(f"no daemon answers at {server}", fix="flowdapt up") from error
    except httpx.TimeoutException as error:
        raise TimedOut(f"no answer from {server} in time", fix="flowdapt status") from error
    except httpx.TransportError as error:
        raise ConnectionLost(f"the connection to {server} broke: {error}") from error


def _close_unconnected(error: BaseException | None) -> None:
    """Close the socket that a refused connection to a path leaves open: only httpcore's frames know it."""
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if frame.f_globals.get("__name__", "").startswith("httpcore."):
                for value in frame.f_locals.values():
                    if isinstance(value, socket.socket):
                        value.close()
        error = error.__cause__
