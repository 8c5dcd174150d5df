"""Decide who reads what workers write to their descriptors: the daemon, always, whoever holds the pipe."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import trio

from flowdapt.runtime.capture import Capture
from flowdapt.runtime.masking import masker_of

if TYPE_CHECKING:
    from flowdapt.domain.task import TaskCall
    from flowdapt.ports.executor import Emit

__all__ = ["Drain"]

_CHUNK = 32 * 1024
# At the end of a task what the pipe holds is read; somebody who goes on writing is not waited for.
_LAST_MAX_BYTES = 2 * 1024 * 1024


class Drain:
    """One pipe of one worker. Lines go to the task that runs; between tasks they are dropped."""

    def __init__(self, descriptor: int, stream: str, max_bytes: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._stream = stream
        self._max_bytes = max_bytes
        self._task: tuple[TaskCall, Emit] | None = None
        self._capture: Capture | None = None
        self._ended = False

    async def run(self) -> None:
        """Read until the last writer is gone."""
        while not self._ended:
            await trio.lowlevel.wait_readable(self._descriptor)
            self._read()

    def begin(self, call: TaskCall, emit: Emit) -> None:
        """Give the lines from here to a task."""
        self._task = (call, emit)

    def finish(self) -> None:
        """Read what is there now and end the task's capture."""
        left = _LAST_MAX_BYTES
        while left > 0 and (size := self._read()):
            left -= size
        if self._capture is not None:
            self._capture.finish()
        self._task = self._capture = None

    def close(self) -> None:
        """Let go of the pipe."""
        if self._descriptor >= 0:
            self._ended = True
            trio.lowlevel.notify_closing(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _read(self) -> int:
        if self._ended:
            return 0
        try:
            chunk = os.read(self._descriptor, _CHUNK)
        except BlockingIOError:
            return 0
        if not chunk:
            self._ended = True
        elif self._task is not None:
            self._feed(chunk)
        return len(chunk)

    def _feed(self, chunk: bytes) -> None:
        if self._capture is None:
            self._capture = self._open()
        self._capture.feed(chunk)

    def _open(self) -> Capture:
        assert self._task is not None
        call, emit = self._task
        masker = masker_of(call.secrets)
        return Capture(self._stream, emit, max_bytes=self._max_bytes, masker=masker)
