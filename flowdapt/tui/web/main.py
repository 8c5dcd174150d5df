"""Decide how `flowdapt ui --web` serves: one loopback port, links on demand, all over at Ctrl-C.

Who is let in is `door.py`; what runs in a tab is `sessions.py`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from flowdapt.domain.errors import StartRefused
from flowdapt.tui.web.app import new_app
from flowdapt.tui.web.door import Door
from flowdapt.tui.web.sessions import ABSENCE_S, MOST_SESSIONS, Sessions

if TYPE_CHECKING:
    from hypercorn.config import Config
    from starlette.types import ASGIApp

__all__ = ["PROGRAM", "PortTaken", "serve"]

# What a tab runs: the same screens, by the same Python.
PROGRAM = (sys.executable, "-P", "-m", "flowdapt", "ui")
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_MOST_IN_ONE_MESSAGE = 2**20
_BACKLOG = 64


class PortTaken(StartRefused):
    """Another program listens on the port that was asked for."""

    code = "ui.port_taken"

    def __init__(self, port: int, reason: str) -> None:
        super().__init__(
            f"port {port} of 127.0.0.1 is not to be had: {reason}",
            fix="flowdapt ui --web takes a free port, if none is named",
        )


def serve(
    *,
    port: int = 0,
    arguments: Sequence[str] = (),
    program: Sequence[str] = PROGRAM,
    say: Callable[[str], object] = print,
    most_tabs: int = MOST_SESSIONS,
    absence_s: float = ABSENCE_S,
) -> int:
    """Serve the screens to browsers on this machine until Ctrl-C; return the exit code.

    `port` 0 takes a free one; `arguments` follow `flowdapt ui` in every tab; `say` tells a line to
    who started it; a tab that lost its line finds its program again for `absence_s`. Raises
    PortTaken.
    """
    listener = _listen(port)
    sessions = Sessions([*program, *arguments], os.environ, most=most_tabs, absence_s=absence_s)
    try:
        return asyncio.run(_serve(listener, sessions, say))
    finally:
        listener.close()


async def _serve(listener: socket.socket, sessions: Sessions, say: Callable[[str], object]) -> int:
    from hypercorn.asyncio import serve as serve_asgi

    door = Door(listener.getsockname()[1])
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_report)
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    say(f"the screens, for a browser on this machine:\n\n  {door.new_link()}\n")
    asking = _give_links_on_demand(door, say)
    say(f"The link works once. {'Enter: another link. ' if asking else ''}Ctrl-C: end.")
    app: ASGIApp = new_app(door, sessions)

    async def until_stopped() -> None:
        await stop.wait()
        await sessions.end_all()

    await serve_asgi(cast(Any, app), _config(listener), shutdown_trigger=until_stopped)
    return 0


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Report what went wrong; a line that is still open at the end is cut and no such thing."""
    if not isinstance(context.get("exception"), asyncio.CancelledError):
        loop.default_exception_handler(context)


def _give_links_on_demand(door: Door, say: Callable[[str], object]) -> bool:
    """Print a new link at each Enter, where somebody sits at a terminal."""
    if not sys.stdin or not sys.stdin.isatty():
        return False
    loop = asyncio.get_running_loop()
    keyboard = sys.stdin.fileno()

    def entered() -> None:
        line = b""
        with suppress(OSError):  # in the background there is no reading
            line = os.read(keyboard, 4096)
        if line:
            say(f"\n  {door.new_link()}\n")
        else:
            loop.remove_reader(keyboard)

    loop.add_reader(keyboard, entered)
    return True


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        raise PortTaken(port, getattr(error, "strerror", None) or str(error)) from error
    return listener


def _config(listener: socket.socket) -> Config:
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"fd://{os.dup(listener.fileno())}"]
    config.accesslog = config.errorlog = None
    config.include_server_header = False
    config.graceful_timeout = 1.0
    config.h11_max_incomplete_size = 16 * 1024
    config.websocket_max_message_size = _MOST_IN_ONE_MESSAGE
    return config
