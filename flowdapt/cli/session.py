"""Decide how a command reaches the daemon: which one, started when there is none, asked again.

Answers stay plain JSON here: a command prints them and needs no models.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from flowdapt.cli.output import Output
from flowdapt.cli.screen import Screen
from flowdapt.client.repeating import Repeats
from flowdapt.client.stream import EventDecoder
from flowdapt.client.unix import UnixTransport
from flowdapt.client.wire import Call, ConnectionLost, Feed, Request, Response, error_of
from flowdapt.domain.errors import StartRefused, TimedOut, Unreachable
from flowdapt.paths import Paths, find_paths

if TYPE_CHECKING:
    from flowdapt.client.transports import Transport

__all__ = ["Common", "Session"]

_WAITING_S = 8.0


@dataclass(frozen=True, slots=True)
class Common:
    """What every command may be told."""

    output: str | None = None
    server: str | None = None
    namespace: str | None = None
    request_timeout: float | None = None
    yes: bool = False
    quiet: bool = False
    verbose: bool = False
    no_color: bool = False


class Session:
    """One command's conversation with a daemon and a person."""

    def __init__(self, common: Common, screen: Screen) -> None:
        self.common, self.screen = common, screen
        self.output = Output(screen, common.output)
        self.may_start = True
        # While a command waits, a daemon that somebody stopped stays stopped; one that died is replaced.
        self.waits = False

    @property
    def namespace(self) -> str:
        return self.common.namespace or "default"

    @cached_property
    def paths(self) -> Paths:
        return find_paths()

    @property
    def local(self) -> bool:
        """Say whether the daemon meant is the one of this user's own directories."""
        return self.common.server is None

    @cached_property
    def _transport(self) -> Transport | UnixTransport:
        server = self.common.server or str(self.paths.socket)
        patience = {"timeout_s": self.common.request_timeout} if self.common.request_timeout else {}
        if server.startswith(("http://", "https://")):
            from flowdapt.client.transports import HttpxTransport

            return HttpxTransport(server, **patience)
        return UnixTransport(server.removeprefix("unix://"), **patience)

    def ask(self, call: Call[Any]) -> Any:
        """Return the JSON of an answer (None when it has no body); raise what was refused."""
        body = self.send(call.request).body
        return json.loads(body) if body else None

    def send(self, request: Request) -> Response:
        """Return the answer to a request; raise what was refused."""
        repeats = self._repeats(request)
        while True:
            try:
                response = self._transport.send(request)
            except Unreachable as error:
                self._start_or_wait(error, repeats)
                continue
            if not response.ok:
                raise error_of(response)
            return response

    def follow(self, feed: Feed[Any], *, ended: Callable[[Any], bool]) -> Iterator[tuple[str, Any]]:
        """Yield type and value of a stream's events, over reconnections, until `ended(value)`.

        A stream that the server closes in order has ended as well.
        """
        decoder, request, repeats = EventDecoder(), feed.request, self._repeats(feed.request)
        while True:
            try:
                with closing(self._events(request, decoder)) as events:
                    for kind, value in events:
                        repeats = self._repeats(request)
                        yield kind, value
                        if ended(value):
                            return
                return
            except (Unreachable, TimedOut) as error:
                self._start_or_wait(_broken(error), repeats)
            if decoder.last_id is not None:
                request = request.with_header("last-event-id", decoder.last_id)
            decoder = decoder.restarted()

    def download(self, request: Request, write: Callable[[bytes], object]) -> int:
        """Pass a body on in pieces; return its size."""
        size = 0
        try:
            with self._transport.stream(request) as answer:
                _refuse(answer.status, answer.headers, answer.chunks)
                for chunk in answer.chunks:
                    size += len(chunk)
                    write(chunk)
        except ConnectionLost:
            raise
        except Unreachable as error:
            if size or not self._start(error):
                raise
            return self.download(request, write)
        return size

    def _events(
        self, request: Request, decoder: EventDecoder
    ) -> Generator[tuple[str, Any], None, None]:
        with self._transport.stream(request) as answer:
            _refuse(answer.status, answer.headers, answer.chunks)
            for chunk in answer.chunks:
                for event in decoder.feed(chunk):
                    yield event.type, event.json()

    def _repeats(self, request: Request) -> Repeats:
        return Repeats(request, patience_s=_WAITING_S) if self.waits else Repeats(request)

    def _start_or_wait(self, error: Unreachable, repeats: Repeats) -> None:
        if isinstance(error, ConnectionLost) or not self._start(error):
            # Who waits for a run gives the next daemon a moment to come.
            lost = ConnectionLost(error.message, fix=error.fix) if self.waits else error
            time.sleep(repeats.pause_after(lost))

    def _start(self, error: Unreachable) -> bool:
        """Start the local daemon when none runs; say whether one is there now."""
        from flowdapt.cli.starting import autostart_allowed, died, ensure_daemon

        if isinstance(error, ConnectionLost) or not (self.local and self.may_start):
            return False
        if not autostart_allowed() or (self.waits and not died(self.paths)):
            return False
        started = time.monotonic()
        try:
            new = ensure_daemon(self.paths)
        except StartRefused as refused:
            # To this command it is a daemon that cannot be reached; `up` ends with the daemon's code.
            raise Unreachable(
                refused.message, code=refused.exact_code, fix=refused.fix
            ) from refused
        if new:
            self.screen.note(f"started the daemon in {time.monotonic() - started:.1f} s", "dim")
        return True

    @property
    def asks(self) -> bool:
        """Say whether there is somebody to ask."""
        return self.common.yes or sys.stdin.isatty()

    def confirm(self, question: str) -> bool:
        """Ask the person; without a terminal the answer is no unless --yes was given."""
        if self.common.yes:
            return True
        if not sys.stdin.isatty():
            self.screen.note(f"{question}  no terminal to ask at: give --yes", "warn")
            return False
        self.screen.ask(f"{question} [y/N] ")
        return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _broken(error: Unreachable | TimedOut) -> Unreachable:
    return error if isinstance(error, Unreachable) else ConnectionLost(error.message)


def _refuse(status: int, headers: Any, chunks: Iterator[bytes]) -> None:
    head = Response(status, headers)
    if not head.ok:
        raise error_of(replace(head, body=b"".join(chunks)))
