"""Decide how a bridge's process starts and ends: its socket, its session, its mark; nothing of it stays."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import trio

from flowdapt.domain.errors import ExecutorUnavailable
from flowdapt.runtime.descendants import MARK, end_tree, sweep

if TYPE_CHECKING:
    from flowdapt.domain.task import WorkerEnvironment

__all__ = ["BridgeProcess"]

_HIDDEN = ("FLOWDAPT_SECRET_", "FLOWDAPT_DATABASE", "FLOWDAPT_BROKER")
_POLL_S = 0.05


class BridgeProcess:
    """The process, and the daemon's end of its socket. Make it on the thread whose end shall be its end."""

    def __init__(self, mark: str, environment: WorkerEnvironment) -> None:
        ours, theirs = socket.socketpair()
        module = ["-P", "-m", "flowdapt.plugins.bridge.process"]
        variables = {k: v for k, v in os.environ.items() if not k.startswith(_HIDDEN)}
        try:
            self._process = subprocess.Popen(  # noqa: S603  (our own interpreter and module)
                [sys.executable, *module, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                bufsize=0,
                pass_fds=[theirs.fileno()],
                env={**variables, MARK: mark},
                cwd=environment.cwd or None,
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise ExecutorUnavailable(f"the bridge's process cannot be started: {error}") from error
        finally:
            theirs.close()
        self._mark = mark
        self.pid = self._process.pid
        ours.setblocking(False)
        self.stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
        assert self._process.stderr is not None
        self.errors = trio.lowlevel.FdStream(os.dup(self._process.stderr.fileno()))
        self._process.stderr.close()

    def send_eof(self) -> None:
        """Have it close what it opened, and end."""
        self.stream.socket.shutdown(socket.SHUT_WR)

    async def end(self, seconds: float) -> None:
        """Wait so long for its end, then make it; what it started ends with it."""
        with trio.move_on_after(seconds):
            while self._process.poll() is None:  # noqa: ASYNC110  (rare, and without a child watcher)
                await trio.sleep(_POLL_S)
        await trio.to_thread.run_sync(self._make_end)

    def _make_end(self) -> None:
        if self._process.poll() is None:
            end_tree(self.pid)
            self._process.wait()
        sweep(mark=self._mark, sessions=(self.pid,))

    async def close(self) -> None:
        """Let go of the socket and the pipe."""
        await self.stream.aclose()
        await self.errors.aclose()
