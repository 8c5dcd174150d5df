"""Decide what no route has to think of: sizes, encodings, figures, and what is not HTTP at all."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import trio
from starlette.requests import Request

from flowdapt.api.direct import find_direct
from flowdapt.api.http11 import FEWER_HEADERS, HEADERS_MAX_BYTES
from flowdapt.api.problems import HttpProblem, bug, problem_response
from flowdapt.api.stream import EVENT_STREAM
from flowdapt.domain.errors import FlowdaptError, TooLarge
from flowdapt.logs import get_log

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from flowdapt.api.backend import Backend

__all__ = ["Framework", "Guard"]

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# A separator or NUL that is encoded would make another path than the one that was checked.
_ENCODED = (b"%2f", b"%5c", b"%00")


log = get_log("flowdapt.api")


class Framework:
    """The FastAPI app, made when the first call needs it or when somebody has the time."""

    def __init__(self) -> None:
        self._app: ASGIApp | None = None
        self._making = trio.Lock()

    async def load(self) -> ASGIApp:
        """Return the app; the imports are done in a thread, so that calls go on meanwhile."""
        async with self._making:
            if self._app is None:
                self._app = await trio.to_thread.run_sync(_create)
            return self._app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app or await self.load()
        await app(scope, receive, send)


def _create() -> ASGIApp:
    from flowdapt.api.app import create_framework

    return create_framework()


class Guard:
    """The outermost part of the app: plain ASGI, so that streams stay streams."""

    def __init__(self, framework: ASGIApp, backend: Backend) -> None:
        self._framework = framework
        self._backend = backend

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse what is wrong in its head; bound the rest and measure it."""
        if scope["type"] != "http":
            return
        began = time.perf_counter()
        exchange = _Exchange(receive, send)
        scope["backend"] = self._backend
        try:
            exchange.bound_bytes = self._checked(scope)
            await self._answer(scope, exchange)
        except (HttpProblem, TooLarge) as error:
            if exchange.status:
                raise
            await _close_after(problem_response(error), scope, exchange)
        except Exception:
            log.exception("a request failed", method=scope["method"], path=scope["path"])
            if not exchange.status:
                await _close_after(problem_response(bug()), scope, exchange)
        finally:
            route = exchange.route or getattr(scope.get("route"), "path_format", "(none)")
            method = scope["method"] if scope["method"] in _METHODS else "(other)"
            seconds = time.perf_counter() - began
            self._backend.measures.request(method, route, exchange.status or 500, seconds)

    async def _answer(self, scope: Scope, exchange: _Exchange) -> None:
        accept = next((v for k, v in scope["headers"] if k == b"accept"), b"")
        streams = EVENT_STREAM.encode() in accept
        found = find_direct(scope["method"], scope["path"], streams=streams)
        if found is None:
            await self._framework(scope, exchange.receive, exchange.send)
            return
        exchange.route, call = found
        try:
            response = await call(Request(scope, exchange.receive))
        except FlowdaptError as error:
            response = problem_response(error)
        await response(scope, exchange.receive, exchange.send)

    def _checked(self, scope: Scope) -> int:
        """Return how large the body may be; raise for what is wrong in the head."""
        headers = dict(scope["headers"])
        raw_path = scope["raw_path"].lower()
        if any(part in raw_path for part in _ENCODED):
            raise HttpProblem(
                422, "the path holds an encoded separator or NUL", code="http.path", fix="remove it"
            )
        if sum(len(k) + len(v) for k, v in scope["headers"]) > HEADERS_MAX_BYTES:
            raise HttpProblem(
                431, "the headers are too large", code="http.malformed", fix=FEWER_HEADERS
            )
        if b"content-length" in headers and b"transfer-encoding" in headers:
            raise HttpProblem(
                400, "the body's length is given twice", code="http.malformed",
                fix="send Content-Length or Transfer-Encoding, not both",
            )  # fmt: skip
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise HttpProblem(
                415, "compressed bodies are not read", code="http.encoding", fix="send it plain"
            )
        limit = self._limit(scope)
        if int(headers.get(b"content-length", b"0")) > limit:
            raise too_large(limit)
        return limit

    def _limit(self, scope: Scope) -> int:
        limits = self._backend.limits
        artifact = scope["method"] == "PUT" and scope["path"].startswith("/api/v1/artifacts/")
        return limits.artifact_bytes if artifact else limits.body_bytes


def too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"the body is larger than {limit} bytes",
        code="http.body_too_large",
        fix="send less, or raise limits.body or limits.artifact in the settings",
    )


class _Exchange:
    """One request and its answer: counts what comes in, notes the status that goes out."""

    __slots__ = ("_arrived", "_receive", "_send", "bound_bytes", "route", "status")

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._arrived = 0
        self.bound_bytes = 0
        self.status = 0
        self.route = ""

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._arrived += len(message.get("body", b""))
            if self._arrived > self.bound_bytes:
                raise too_large(self.bound_bytes)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


async def _close_after(response: ASGIApp, scope: Scope, exchange: _Exchange) -> None:
    """Answer and let the connection go: what is left of the body is not read."""

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"connection", b"close")]
        await exchange.send(message)

    await response(scope, exchange.receive, send)
