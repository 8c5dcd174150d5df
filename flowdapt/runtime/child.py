"""Decide how a cluster's worker drives the process in which bodies run: call, words, outcome, every end.

Synchronous: the thread of the cluster's task waits here. Which process takes which task, and what is
lent to it, is `hosted.py`'s.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from flowdapt.domain.errors import ExecutorUnavailable
from flowdapt.domain.task import Cancelled, Failed, Finished, Lost, Started
from flowdapt.runtime.areas import Area
from flowdapt.runtime.capture import Capture
from flowdapt.runtime.descendants import ASK_FIRST_S, EXIT_S, MARK, end_tree, sweep
from flowdapt.runtime.frames import (
    PACKET_MAX_BYTES,
    Assembler,
    BadFrame,
    FrameTooLarge,
    Retiring,
    Setup,
    pack,
    read_message,
)
from flowdapt.runtime.launch import fileno, launch
from flowdapt.runtime.masking import masker_of
from flowdapt.runtime.verdicts import START_TIMEOUT, lost, refused, tell_exit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from flowdapt.domain.task import Outcome, TaskCall, TaskEvent
    from flowdapt.runtime.frames import HostedCall

    Say = Callable[[Sequence[TaskEvent]], None]

__all__ = ["Child"]

# The first words of a task leave at once, then a few times a second.
_FIRST_FLUSH_S, _FLUSH_S = 0.02, 0.2
_FLUSH_COUNT = 2000
_CHUNK = 32 * 1024
# What the pipes hold at the end of a task is read; somebody who goes on writing is not waited for.
_LAST_MAX_BYTES = 2 * 1024 * 1024
_NEVER = float("inf")


class Child:
    """One process of this machine that runs bodies, one at a time."""

    def __init__(
        self, setup: Setup, *, mark: str, variables: Mapping[str, str], cwd: str | None
    ) -> None:
        launched = launch({**variables, MARK: mark}, cwd)
        self._process, self._channel, self._control = launched
        self._pipes = {
            fileno(self._process.stdout): "stdout",
            fileno(self._process.stderr): "stderr",
        }
        for pipe in self._pipes:
            os.set_blocking(pipe, False)
        self._mark = mark
        self._max_bytes = setup.environment.max_output_bytes
        self._keeps = setup.hosted
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.poll()
        for number in (self._channel.fileno(), self._wake, *self._pipes):
            self._poll.register(number, select.POLLIN)
        self._buffer = bytearray(PACKET_MAX_BYTES)
        self._assembler = Assembler()
        self._lock = threading.Lock()
        self._number = 0
        self._task: _Task | None = None
        self.pid = self._process.pid
        self.retiring = False
        self.idle_since = time.monotonic()
        self._channel.send(pack(0, setup)[0])

    @property
    def alive(self) -> bool:
        """Say whether it can take a call."""
        return not self.retiring and self._process.poll() is None

    def run(
        self, hosted: HostedCall, say: Say, doomed: Callable[[], bool] = lambda: False
    ) -> tuple[Outcome, list[TaskEvent], Area | None]:
        """Run a task; return its outcome, what it said that `say` was not given, and its memory.

        `doomed` says whether a cancel came before anybody could tell us. Raise ExecutorUnavailable when the process cannot start a worker at all.
        """
        self._number = self._number % 0xFFFFFFFF + 1
        task = _Task(hosted.call, say, self._max_bytes)
        with self._lock:
            self._task = task
        if doomed():
            self.cancel()
        try:
            try:
                packets = pack(self._number, hosted if self._keeps else hosted.call)
            except FrameTooLarge as error:
                return refused(hosted.call, error), [], None
            outcome = self._drive(task, packets)
            task.finish(self._drain)
            return outcome, task.waiting, task.area
        finally:
            with self._lock:
                self._task = None
            self.idle_since = time.monotonic()
            if self.retiring:
                self.close()

    def cancel(self) -> None:
        """Have the running body told, then signalled, then killed; callable from any thread."""
        with self._lock:
            if self._task is not None and not self._task.cancelled:
                self._task.cancelled = True
                os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """End the process with all that it started; no task may run in it."""
        self.retiring = True
        if self._wake < 0:
            return
        with suppress(OSError):
            self._channel.shutdown(socket.SHUT_WR)
        if not self._exited(EXIT_S):
            self._end()
        sweep(mark=self._mark, sessions=(self.pid,))
        self._channel.close()
        self._control.close()
        for number in (self._wake, *self._pipes):
            os.close(number)
        self._wake = -1

    # -- one task ------------------------------------------------------------------------------------

    def _drive(self, task: _Task, packets: list[bytes]) -> Outcome:
        channel = self._channel.fileno()
        self._send(packets)
        while True:
            outcome: Outcome | None = None
            for number, _ in self._poll.poll(task.wait_ms(bool(packets))):
                if number == channel:
                    outcome = self._hear(task)
                elif number == self._wake:
                    os.eventfd_read(self._wake)
                    self._ask_to_stop(task)
                else:
                    self._read(number, task)
            self._send(packets)
            if outcome is not None:
                return outcome
            self._keep_time(task)

    def _send(self, packets: list[bytes]) -> None:
        """Send as much as there is room for: the child may itself wait for us to read."""
        while packets:
            try:
                self._channel.send(packets[0])
            except BlockingIOError:
                return
            except OSError:
                packets.clear()  # it is gone: listening tells how
                return
            del packets[0]

    def _hear(self, task: _Task) -> Outcome | None:
        try:
            size, fds, _, _ = socket.recv_fds(self._channel, PACKET_MAX_BYTES, 1)
        except BlockingIOError:
            return None
        except OSError:
            size, fds = b"", []
        for fd in fds:
            task.area = Area(fd)
        if not size:
            return self._explain(task)
        try:
            return self._take(memoryview(size), task)
        except BadFrame as error:
            self._end()
            words = f"the worker wrote junk to its result socket: {error}"
            return Lost("bad_frame", lost(task.call, words), self.pid)

    def _take(self, packet: memoryview, task: _Task) -> Outcome | None:
        message = self._assembler.feed(packet)
        if message is None:
            return None
        number, body = message
        outcome: Outcome | None = None
        for said in read_message(body):
            if number != self._number:
                if number == 0 and isinstance(said, Failed):
                    self.retiring = True
                    raise ExecutorUnavailable(f"the worker cannot start: {said.error.message}")
            elif isinstance(said, Finished | Failed | Lost | Cancelled):
                outcome = said
            elif isinstance(said, Retiring):
                self.retiring = True
            else:
                task.hear(said)
        return outcome

    def _read(self, number: int, task: _Task | None) -> int:
        try:
            chunk = os.read(number, _CHUNK)
        except BlockingIOError:
            return 0
        if not chunk:
            with suppress(KeyError):
                self._poll.unregister(number)
        elif task is not None:
            task.capture(self._pipes[number], chunk)
        return len(chunk)

    def _drain(self, task: _Task) -> None:
        left = _LAST_MAX_BYTES
        while left > 0 and (size := sum(self._read(number, task) for number in self._pipes)):
            left -= size

    # -- time ----------------------------------------------------------------------------------------

    def _keep_time(self, task: _Task) -> None:
        now = time.monotonic()
        if now >= task.term_at:
            task.term_at = _NEVER
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGTERM)
        if now >= task.kill_at or now >= task.start_by:
            task.doom = "cancelled" if task.cancelled else "start_timeout"
            task.kill_at = task.start_by = _NEVER
            self._end()
        task.flush(now)

    def _ask_to_stop(self, task: _Task) -> None:
        self.retiring = True
        now = time.monotonic()
        task.start_by = _NEVER
        task.term_at = now + min(ASK_FIRST_S, task.call.grace_s)
        task.kill_at = now + task.call.grace_s
        with suppress(OSError):
            self._control.send(b"c")

    # -- its end -------------------------------------------------------------------------------------

    def _explain(self, task: _Task) -> Outcome:
        """Say why there is no word any more."""
        self.retiring = True
        if not self._exited(EXIT_S):
            self._end()
            words = "the worker closed its result socket and went on"
            return Lost("bad_frame", lost(task.call, words), self.pid)
        if task.cancelled:
            return Cancelled("stopped")
        if task.doom:
            return Lost(task.doom, lost(task.call, START_TIMEOUT), self.pid)
        reason, words = tell_exit(self._process.returncode)
        return Lost(reason, lost(task.call, words), self.pid)

    def _exited(self, seconds: float) -> bool:
        """Wait for the end of the process; read meanwhile, or it could wait for us."""
        deadline = time.monotonic() + seconds
        while self._process.poll() is None:
            if time.monotonic() >= deadline:
                return False
            for number in self._pipes:
                self._read(number, self._task)
            time.sleep(0.002)
        return True

    def _end(self) -> None:
        self.retiring = True
        if self._process.poll() is None:
            end_tree(self.pid)
            self._process.wait()


class _Task:
    """What is known of the running task: its words, its captures, its deadlines."""

    def __init__(self, call: TaskCall, say: Say, max_bytes: int) -> None:
        self.call = call
        self.waiting: list[TaskEvent] = []
        self.area: Area | None = None
        self.cancelled = False
        self.doom = ""
        self.start_by = time.monotonic() + call.start_timeout_s
        self.term_at = self.kill_at = self._flush_at = _NEVER
        self._every = _FIRST_FLUSH_S
        self._say = say
        self._max_bytes = max_bytes
        self._captures: dict[str, Capture] = {}

    def hear(self, event: TaskEvent) -> None:
        if type(event) is Started:
            self.start_by = _NEVER
        if not self.waiting:
            self._flush_at = time.monotonic() + self._every
        self.waiting.append(event)

    def capture(self, stream: str, chunk: bytes) -> None:
        if stream not in self._captures:
            masker = masker_of(self.call.secrets)
            self._captures[stream] = Capture(
                stream, self.hear, max_bytes=self._max_bytes, masker=masker
            )
        self._captures[stream].feed(chunk)

    def flush(self, now: float) -> None:
        if now < self._flush_at and len(self.waiting) < _FLUSH_COUNT:
            return
        waiting, self.waiting = self.waiting, []
        self._every, self._flush_at = _FLUSH_S, _NEVER
        self._say(waiting)

    def finish(self, drain: Callable[[_Task], None]) -> None:
        drain(self)
        for capture in self._captures.values():
            capture.finish()

    def wait_ms(self, sending: bool) -> float | None:
        if sending:
            return 5
        at = min(self.start_by, self.term_at, self.kill_at, self._flush_at)
        return None if at == _NEVER else max(at - time.monotonic(), 0) * 1000
