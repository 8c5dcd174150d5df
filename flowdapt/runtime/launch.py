"""Decide how a worker process starts: its command, its two sockets, its pipes, its session."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import IO, TYPE_CHECKING, NamedTuple

from flowdapt.domain.errors import ExecutorUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Launched", "fileno", "launch"]


class Launched(NamedTuple):
    """A process and the daemon's ends of its sockets, not blocking."""

    process: subprocess.Popen[bytes]
    channel: socket.socket
    control: socket.socket


def launch(variables: Mapping[str, str], cwd: str | None) -> Launched:
    """Start a worker; raise ExecutorUnavailable when the machine has no room for one."""
    channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control, their_control = socket.socketpair()
    numbers = (theirs.fileno(), their_control.fileno())
    try:
        process = subprocess.Popen(  # noqa: S603  (our own interpreter and module)
            _command(*numbers),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            pass_fds=numbers,
            env=dict(variables),
            cwd=cwd,
            start_new_session=True,
        )
    except OSError as error:
        channel.close()
        control.close()
        raise ExecutorUnavailable(f"no worker process can be started: {error}") from error
    finally:
        theirs.close()
        their_control.close()
    channel.setblocking(False)
    control.setblocking(False)
    return Launched(process, channel, control)


def fileno(pipe: IO[bytes] | None) -> int:
    """Take the descriptor of a pipe away from its file object."""
    assert pipe is not None
    number = os.dup(pipe.fileno())
    pipe.close()
    return number


def _command(channel: int, control: int) -> list[str]:
    """Return the command of a worker; -P: a file beside the data never shadows a module."""
    module = ["-P", "-m", "flowdapt.runtime.worker"]
    return [sys.executable, *module, str(channel), str(control), str(os.getpid())]
