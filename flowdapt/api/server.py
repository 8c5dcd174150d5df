"""Decide who is let in at the socket, how many at once, and how serving ends.

What a connection does is `connection.py`; where the socket lies is `socket.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import trio

from flowdapt.api.connection import Connection, peer_uid
from flowdapt.api.http11 import WorkerContext, new_config
from flowdapt.logs import get_log

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

    from starlette.types import ASGIApp

__all__ = ["Deadlines", "Server"]

log = get_log("flowdapt.api")

BACKLOG = 512


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
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(self._listener))
        async with trio.open_nursery() as serving, trio.open_nursery() as accepting:
            accepting.start_soon(_serve_listener, listener, self._serve_connection, serving)
            task_status.started()
            await self._stop.wait()
            accepting.cancel_scope.cancel()
            await self._context.terminated.set()
            for connection in list(self._connections):
                connection.close()
            serving.cancel_scope.deadline = trio.current_time() + self._deadlines.close_s

    async def _serve_connection(self, stream: trio.SocketStream) -> None:
        if peer_uid(stream) not in self._uids:
            log.warning("a connection of another user was closed", uid=peer_uid(stream))
            await trio.aclose_forcefully(stream)
            return
        if len(self._connections) >= self._max and not self._make_room():
            await _refuse(stream)
            return
        connection = Connection(stream, self._app, self._config, self._context, self._deadlines)
        self._connections[connection] = None
        try:
            await connection.run()
        except* OSError:
            pass
        finally:
            del self._connections[connection]

    def _make_room(self) -> bool:
        """Close the connection that has waited longest without a whole request, if there is one."""
        waiting = [one for one in self._connections if not one.busy]
        if not waiting:
            return False
        min(waiting, key=lambda one: (not one.idle, one.idle_since)).close()
        return True


async def _serve_listener(
    listener: trio.SocketListener,
    serve: Callable[[trio.SocketStream], Coroutine[Any, Any, None]],
    nursery: trio.Nursery,
) -> None:
    await trio.serve_listeners(serve, [listener], handler_nursery=nursery)


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
