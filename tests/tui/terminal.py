"""The workstation as a process on a pseudo-terminal, and what it wrote there, byte by byte."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass
class Terminal:
    """A running program; `wrote` is all that came to the terminal so far."""

    pid: int
    handle: int
    began: float = field(default_factory=time.monotonic)
    wrote: bytes = b""

    def read(self, within_s: float = 0.05) -> bytes:
        """Take what comes within a moment."""
        if not select.select([self.handle], [], [], within_s)[0]:
            return b""
        try:
            new = os.read(self.handle, 1 << 16)
        except OSError:
            return b""
        self.wrote += new
        return new

    def until(self, *wanted: bytes, within_s: float = 15.0, after: int = 0) -> float:
        """Wait until all of this was written behind a place; return the seconds since the start."""
        deadline = time.monotonic() + within_s
        while not all(one in self.wrote[after:] for one in wanted):
            if time.monotonic() > deadline:
                raise AssertionError(f"{wanted!r} not within {within_s} s: {self.wrote[-3000:]!r}")
            self.read()
        return time.monotonic() - self.began

    def press(self, keys: bytes) -> None:
        os.write(self.handle, keys)

    def end(self, within_s: float = 10.0) -> int:
        """Wait for its end; return the exit code."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            self.read(0.02)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
        raise AssertionError(f"it does not end: {self.wrote[-2000:]!r}")


@contextlib.contextmanager
def terminal(
    *words: str,
    environ: Mapping[str, str],
    size: tuple[int, int] = (120, 40),
    program: Sequence[str] = ("-m", "flowdapt"),
) -> Iterator[Terminal]:
    """Run `flowdapt WORDS` on a terminal of its own; it is killed at the end if it still runs."""
    columns, rows = size
    pid, handle = pty.fork()
    if pid == 0:
        os.environ.update(
            {"TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": str(rows), **environ}
        )
        os.execv(sys.executable, [sys.executable, *program, *words])
    fcntl.ioctl(handle, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    made = Terminal(pid, handle)
    try:
        yield made
    finally:
        if made.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(made.pid, signal.SIGKILL)
            os.waitpid(made.pid, 0)
        os.close(handle)
