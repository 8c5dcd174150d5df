"""Decide what of a stage's output is kept: the head and the tail, as lines, within written bounds.

Works on bytes as they come, wherever they were read: in the worker for `print`, in the daemon for
what C code and grandchildren write to the descriptors.
"""

from __future__ import annotations

import functools
import io
import os
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from flowdapt.domain.task import LogLine
from flowdapt.runtime.masking import NOTHING, Masker, StreamMasker

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "LINE_MAX_BYTES",
    "Capture",
    "OutputStream",
    "flush_c_streams",
    "replace_stream",
    "write_directly",
]

LINE_MAX_BYTES = 64 * 1024
# Bytes alone are no bound: a line costs the daemon far more than its text when it is short.
HEAD_MAX_LINES, TAIL_MAX_LINES = 50_000, 10_000
# Small writes are kept together: a million of them would weigh ten times their text.
_TAIL_PIECE = 4096
_LEVELS = {"stdout": "info", "stderr": "warning"}


class Capture:
    """One stream of one task. Feed it bytes; it emits lines, and at the end what it kept of the tail."""

    def __init__(
        self,
        stream: str,
        emit: Callable[[LogLine], None],
        *,
        max_bytes: int,
        masker: Masker = NOTHING,
        index: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._stream = stream
        self._level = _LEVELS.get(stream, "info")
        self._emit = emit
        self._index = index
        self._mask = StreamMasker(masker) if masker else None
        self._head_bytes = max_bytes // 2
        self._head_lines = HEAD_MAX_LINES
        self._tail_max = max_bytes - self._head_bytes
        self._tail: deque[bytearray] = deque()
        self._tail_bytes = 0
        self._cut_bytes = 0
        self._over = False
        self._line = bytearray()
        self._line_cut = 0

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the stream."""
        if self._mask is not None:
            chunk = self._mask.feed(chunk)
        self._take(chunk)

    def finish(self) -> None:
        """Emit the last line without an end, and the tail. The capture is over."""
        if self._mask is not None:
            self._take(self._mask.flush())
        if self._line:
            self._end_line()
        if self._over:
            self._emit_tail()

    def _take(self, chunk: bytes) -> None:
        if self._over:
            self._keep(chunk)
            return
        if len(chunk) > self._head_bytes:
            self._split(chunk[: self._head_bytes])
            self._go_over(chunk[self._head_bytes :])
        else:
            self._head_bytes -= len(chunk)
            self._split(chunk)

    def _split(self, chunk: bytes) -> None:
        lines = chunk.split(b"\n")
        if len(lines) - 1 > self._head_lines:
            rest = b"\n".join(lines[self._head_lines :])
            lines = [*lines[: self._head_lines], b""]
            self._go_over(rest)
        self._head_lines -= len(lines) - 1
        for line in lines[:-1]:
            self._add(line)
            self._end_line()
        self._add(lines[-1])

    def _go_over(self, rest: bytes) -> None:
        """Keep only the tail from here; the line that is open goes on in it."""
        self._over = True
        self._keep(bytes(self._line) + rest)
        self._line.clear()

    def _keep(self, chunk: bytes) -> None:
        if self._tail and len(self._tail[-1]) < _TAIL_PIECE:
            self._tail[-1] += chunk
        else:
            self._tail.append(bytearray(chunk))
        self._tail_bytes += len(chunk)
        while self._tail and self._tail_bytes - len(self._tail[0]) >= self._tail_max:
            dropped = self._tail.popleft()
            self._tail_bytes -= len(dropped)
            self._cut_bytes += len(dropped)

    # -- lines -------------------------------------------------------------------------------------

    def _add(self, piece: bytes) -> None:
        """Bound a line while it grows: its first part is kept, and its end."""
        self._line += piece
        excess = len(self._line) - 2 * LINE_MAX_BYTES
        if excess > 0:
            half = LINE_MAX_BYTES // 2
            del self._line[half : half + excess]
            self._line_cut += excess

    def _end_line(self) -> None:
        self._say(_shorten(bytes(self._line), self._line_cut))
        self._line.clear()
        self._line_cut = 0

    def _emit_tail(self) -> None:
        data = b"".join(self._tail)
        self._tail.clear()
        cut = self._cut_bytes
        if len(data) > self._tail_max or cut:
            start = max(len(data) - self._tail_max, 0)
            newline = data.find(b"\n", start)
            start = newline + 1 if newline >= 0 else start
            cut, data = cut + start, data[start:]
        lines = data.removesuffix(b"\n").split(b"\n") if data else []
        if len(lines) > TAIL_MAX_LINES:
            dropped = lines[:-TAIL_MAX_LINES]
            cut += sum(map(len, dropped)) + len(dropped)
            lines = lines[-TAIL_MAX_LINES:]
        if cut:
            self._say(f"… {cut} bytes of {self._stream} cut …".encode())
        for line in lines:
            self._say(_shorten(line, 0))

    def _say(self, line: bytes) -> None:
        text = line.decode("utf-8", "backslashreplace")
        self._emit(LogLine(time.time(), self._stream, self._level, text, self._index()))


def _shorten(line: bytes, cut: int) -> bytes:
    line = line.removesuffix(b"\r")
    if len(line) > LINE_MAX_BYTES:
        excess = len(line) - LINE_MAX_BYTES
        half = LINE_MAX_BYTES // 2
        line, cut = line[:half] + line[half + excess :], cut + excess
    if not cut:
        return line
    half = LINE_MAX_BYTES // 2
    return line[:half] + f" … {cut} bytes cut … ".encode() + line[half:]


class OutputStream(io.RawIOBase):
    """What `sys.stdout.buffer.raw` is in a worker: writes go to the capture of the current task.

    It has the real descriptor's number, for code that passes it to a child process. A forked child
    writes to it (`direct`): what it captured would end with it.
    """

    def __init__(self, number: int, name: str) -> None:
        self._number = number
        self.name = name
        self.capture: Capture | None = None
        self.direct = False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return False

    def write(self, data: Any, /) -> int:
        chunk = bytes(data)
        if self.direct:
            return os.write(self._number, chunk)
        if self.capture is not None:
            self.capture.feed(chunk)
        return len(chunk)


def replace_stream(name: str, number: int) -> OutputStream:
    """Put a stream in the place of `sys.stdout` or `sys.stderr` that knows whose line it is."""
    raw = OutputStream(number, f"<{name}>")
    text = io.TextIOWrapper(
        raw,  # a raw stream serves: nothing is to be buffered twice
        encoding="utf-8",
        errors="backslashreplace",
        newline="\n",
        line_buffering=True,
        write_through=True,
    )
    setattr(sys, name, text)
    return raw


def write_directly(*streams: OutputStream) -> None:
    """Write to the descriptors from here on, whole lines at a time: several processes share them."""
    for stream in streams:
        stream.direct = True
        # Open to the end of the process.
        plain = open(  # noqa: SIM115  (see above)
            stream.fileno(), "w", 1, "utf-8", "backslashreplace", closefd=False
        )
        setattr(sys, stream.name.strip("<>"), plain)


def flush_c_streams() -> None:
    """Write out what C code has printed so far: its buffers know nothing of tasks."""
    _libc().fflush(None)


@functools.cache
def _libc() -> Any:
    import ctypes

    return ctypes.CDLL(None)
