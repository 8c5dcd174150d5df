"""Decide how a program runs on a terminal of its own: started, fed, resized and ended.

What it writes waits in the kernel when nobody reads: a slow browser slows the program down.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import signal
import struct
import sys
import termios
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

__all__ = ["Size", "Terminal", "terminal_environment"]

_CHUNK = 64 * 1024
# Keys typed at a program that does not read: more than a large paste is dropped.
_MOST_UNREAD = 2 * 2**20
_GRACE_S = 3.0
# A session of its own (made by the parent) gets the terminal it stands on; only then does a new
# size reach the program as a signal, and the end of the terminal as the end of the program.
_TAKE_TERMINAL = "import fcntl,os,sys,termios;fcntl.ioctl(0,termios.TIOCSCTTY,0);os.execv(sys.argv[1],sys.argv[1:])"
# What tells of another terminal, in whose place the browser stands now.
_OF_ANOTHER_TERMINAL = (
    "COLUMNS",
    "LINES",
    "STY",
    "TERMCAP",
    "TERM_PROGRAM",
    "TERM_PROGRAM_VERSION",
    "TMUX",
    "TMUX_PANE",
    "VTE_VERSION",
    "WINDOWID",
)


@dataclass(frozen=True, slots=True)
class Size:
    """Columns and rows of a terminal, within what a program can draw."""

    columns: int
    rows: int

    @classmethod
    def bounded(cls, columns: int, rows: int) -> Self:
        return cls(min(max(columns, 2), 1000), min(max(rows, 2), 500))


def terminal_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a program whose terminal is the page."""
    kept = {name: value for name, value in environ.items() if name not in _OF_ANOTHER_TERMINAL}
    return kept | {"TERM": "xterm-256color", "COLORTERM": "truecolor"}


class Terminal:
    """One program on one pseudo terminal."""

    def __init__(
        self,
        leader: int,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        ends: tuple[asyncio.BaseTransport, asyncio.WriteTransport],
    ) -> None:
        self._leader = leader
        self._process = process
        self._reader = reader
        self._reading, self._writing = ends

    @classmethod
    async def start(
        cls, command: Sequence[str], size: Size, environ: Mapping[str, str]
    ) -> Terminal:
        """Start a program; raise OSError where no terminal or process is to be had."""
        leader, follower = os.openpty()
        try:
            _set_size(leader, size)
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", "-c", _TAKE_TERMINAL, *command,
                stdin=follower, stdout=follower, stderr=follower,
                start_new_session=True, env=environ,
            )  # fmt: skip
        except BaseException:
            os.close(leader)
            raise
        finally:
            os.close(follower)
        return cls(leader, process, *await _streams(leader))

    @property
    def pid(self) -> int:
        return self._process.pid

    async def read(self) -> bytes:
        """Return what the program wrote, in the order of writing; nothing once it has ended."""
        try:
            return await self._reader.read(_CHUNK)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return b""

    def write(self, keys: bytes) -> None:
        if self._writing.get_write_buffer_size() + len(keys) <= _MOST_UNREAD:
            self._writing.write(keys)

    def resize(self, size: Size) -> None:
        _set_size(self._leader, size)

    async def end(self) -> int:
        """End the program as a closed window does, at last by force; return its exit code.

        Nothing else may be called afterwards.
        """
        self._signal(signal.SIGHUP)
        try:
            async with asyncio.timeout(_GRACE_S):
                code = await self._process.wait()
        except TimeoutError:
            self._signal(signal.SIGKILL)
            code = await self._process.wait()
        if not self._writing.is_closing():
            self._writing.abort()
        self._reading.close()
        os.close(self._leader)
        return code

    def _signal(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)


async def _streams(
    leader: int,
) -> tuple[asyncio.StreamReader, tuple[asyncio.BaseTransport, asyncio.WriteTransport]]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_CHUNK)
    writing: Any
    # Each end closes what it was given, at a moment of its own: the leader itself stays ours.
    writing, _ = await loop.connect_write_pipe(
        asyncio.BaseProtocol, os.fdopen(os.dup(leader), "wb", buffering=0)
    )
    reading, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader),
        os.fdopen(os.dup(leader), "rb", buffering=0),
    )
    return reader, (reading, writing)


def _set_size(terminal: int, size: Size) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", size.rows, size.columns, 0, 0))
