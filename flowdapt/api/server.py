"""Decide who is let in at the socket, how many at once, and how serving ends.

What a connection does is `connection.py`; where the socket lies is `socket.py`.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import trio

from flowdapt.api.connection import Connection, peer_uid
from flowdapt.api.http11 import WorkerContext, new_config
from flowdapt.api.problems import HttpProblem, problem_response
from flowdapt.logs import get_log

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["Deadlines", "Server"]

log = get_log("flowdapt.api")

BACKLOG = 512
# So many times the allowed connections are listened to, beyond that they are closed unheard.
CROWD = 2
# A connection without a request for so long may make room for another one.
UNUSED_S = 1.0
SHORT_OF_FILES_S = 0.1
_NOTHING_LEFT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
HEALTH_PATHS = frozenset({"/livez", "/readyz"})


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds: for a request to arrive, for a client to take an answer, between requests, at the end."""

    read_s: float = 10.0
    send_s: float = 30.0
    idle_s: float = 60.0
    close_s: float = 3.0


class Server:
    """Serve an ASGI app on a listening socket that somebody else made and will remove."""

    def __init__(
        self,
        app: ASGIApp,
        listener: socket.socket,
        *,
        deadlines: Deadlines | None = None,
        connections_max: int = 100,
        allowed_uids: Iterable[int] = (),
    ) -> None:
        self._app = _wrapped(app)
        self._app_when_full = _wrapped(_health_alone(app))
        self._listener = listener
        self._deadlines = deadlines or Deadlines()
        self._max = connections_max
        self._uids = {os.geteuid(), *allowed_uids}
        self._config = new_config()
        self._context = WorkerContext()
        self._connections: dict[Connection, None] = {}
        self._stop = trio.Event()

    def stop(self) -> None:
        """Let nobody in any more; `run` returns when those inside have been answered."""
        self._stop.set()

    @property
    def connections(self) -> int:
        return len(self._connections)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until `stop`, then give answers under way a moment."""
        self._listener.listen(BACKLOG)
        async with trio.open_nursery() as serving, trio.open_nursery() as accepting:
            accepting.start_soon(self._accept, serving)
            task_status.started()
            await self._stop.wait()
            accepting.cancel_scope.cancel()
            await self._context.terminated.set()
            for connection in list(self._connections):
                connection.close()
            serving.cancel_scope.deadline = trio.current_time() + self._deadlines.close_s

    async def _accept(self, serving: trio.Nursery) -> None:
        """Let in all who wait at once: one at a turn of the loop would starve them under load."""
        listener = trio.socket.from_stdlib_socket(self._listener)
        while True:
            try:
                first, _ = await listener.accept()
            except OSError as error:
                if error.errno not in _NOTHING_LEFT:
                    raise
                log.warning("no connection can be accepted", reason=error.strerror)
                await trio.sleep(SHORT_OF_FILES_S)
                continue
            serving.start_soon(self._serve_connection, trio.SocketStream(first))
            for _ in range(BACKLOG):
                try:
                    more, _ = self._listener.accept()
                except OSError:
                    break
                stream = trio.SocketStream(trio.socket.from_stdlib_socket(more))
                serving.start_soon(self._serve_connection, stream)

    async def _serve_connection(self, stream: trio.SocketStream) -> None:
        if peer_uid(stream) not in self._uids:
            log.warning("a connection of another user was closed", uid=peer_uid(stream))
            await trio.aclose_forcefully(stream)
            return
        app = self._app
        if len(self._connections) >= self._max and not self._make_room(UNUSED_S):
            if len(self._connections) >= CROWD * self._max and not self._make_room(0.0):
                await _refuse(stream)
                return
            # Whoever asks how the daemon is must hear that it is busy, not nothing.
            app = self._app_when_full
        connection = Connection(stream, app, self._config, self._context, self._deadlines)
        self._connections[connection] = None
        try:
            await connection.run()
        except* OSError:
            pass
        finally:
            del self._connections[connection]

    def _make_room(self, unused_s: float) -> bool:
        """Close the connection that has waited longest without a whole request, if so long.

        Those that ask one thing after the other are left alone: they would only come again.
        """
        before = trio.current_time() - unused_s
        waiting = [one for one in self._connections if not one.busy and one.idle_since <= before]
        if not waiting:
            return False
        min(waiting, key=lambda one: (not one.idle, one.idle_since)).close()
        return True


def _health_alone(app: ASGIApp) -> ASGIApp:
    """Return an app that answers about health and tells everybody else to come back."""
    refusal = problem_response(
        HttpProblem(
            503,
            "too many connections are open",
            code="http.too_many_connections",
            fix="close what you do not use, or raise limits.connections",
            headers={"connection": "close", "retry-after": "1"},
        )
    )

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        health = scope["type"] == "http" and scope["path"] in HEALTH_PATHS
        await (app if health else refusal)(scope, receive, send)

    return answer


async def _refuse(stream: trio.SocketStream) -> None:
    answer = (
        b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\n"
        b"content-length: 0\r\n\r\n"
    )
    with trio.move_on_after(1):
        with suppress(trio.BrokenResourceError):
            await stream.send_all(answer)
    await trio.aclose_forcefully(stream)


def _wrapped(app: ASGIApp) -> Any:
    """Give hypercorn's calling convention to an ASGI app."""

    async def call(scope: Any, receive: Any, send: Any, *_threads: Any) -> None:
        await cast(Any, app)(scope, receive, send)

    return call
