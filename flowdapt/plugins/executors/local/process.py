"""Decide how the daemon drives one worker process: start, call, outcome, and every way it may end.

When a worker is used, replaced or let go is the executor's affair.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from flowdapt.domain.errors import ExecutorUnavailable
from flowdapt.domain.task import Cancelled, Failed, Finished, Lost, Started
from flowdapt.plugins.executors.local.output import Drain
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
from flowdapt.runtime.verdicts import START_TIMEOUT, lost, refused, tell_exit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flowdapt.domain.task import Outcome, TaskCall, WorkerEnvironment
    from flowdapt.ports.executor import Emit

__all__ = ["WorkerProcess"]

_POLL_S = 0.05
# What a crashed worker had just started is looked for once more.
_SETTLE_S = 0.1

# Packets are decoded before anything else runs on the loop: one buffer serves all workers.
_buffer = bytearray(PACKET_MAX_BYTES)
_view = memoryview(_buffer)


class WorkerProcess:
    """One child process. Make it on the thread whose end shall be its end."""

    def __init__(
        self,
        name: str,
        environment: WorkerEnvironment,
        *,
        mark: str,
        variables: Mapping[str, str],
        cwd: str | None,
    ) -> None:
        self.name = name
        self.mark = mark
        self.call: TaskCall | None = None
        self.last: tuple[str, str] | None = None
        self.gpu_devices: str | None = None
        self.idle_since = time.monotonic()
        self.start_deadline = 0.0
        self.retiring = False
        self.used = False
        self.unheard = False
        self.gone = trio.Event()
        self._attended = False
        self._doom = ""
        self._number = 0
        self._assembler = Assembler()
        self._emit: Emit = _nowhere
        launched = launch({**variables, MARK: mark}, cwd)
        self._process, self._channel, self._control = launched
        self._out = Drain(fileno(self._process.stdout), "stdout", environment.max_output_bytes)
        self._err = Drain(fileno(self._process.stderr), "stderr", environment.max_output_bytes)
        self.pid = self._process.pid
        self._channel.send(pack(0, Setup(environment))[0])

    # -- life ----------------------------------------------------------------------------------------

    async def attend(self) -> None:
        """Read its output and wait for its end; leave nothing of it behind."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._out.run)
                nursery.start_soon(self._err.run)
                await self._wait_exit()
                self.gone.set()
                # Somebody may hold a copy of its socket: whoever waits for a word must not.
                with suppress(OSError):
                    self._channel.shutdown(socket.SHUT_RDWR)
                if self.used:
                    await self._sweep()
                nursery.cancel_scope.cancel()
        finally:
            self._attended = True
            if self.gone.is_set():
                self.close()

    async def _wait_exit(self) -> None:
        try:
            descriptor = os.pidfd_open(self._process.pid)
        except OSError:  # a sandbox without it
            await self._poll_exit()
            return
        try:
            await trio.lowlevel.wait_readable(descriptor)
        finally:
            os.close(descriptor)
        self._process.poll()

    async def _poll_exit(self) -> None:
        while self._process.poll() is None:  # noqa: ASYNC110  (nothing else tells)
            await trio.sleep(_POLL_S)

    async def _sweep(self) -> None:
        mark, session = self.mark, self.pid
        await trio.to_thread.run_sync(
            lambda: sweep(mark=mark, sessions=(session,), settle_s=_SETTLE_S)
        )

    def close(self) -> None:
        """Let go of sockets and pipes, unless somebody still listens."""
        if self.call is None and self._attended:
            trio.lowlevel.notify_closing(self._channel)
            for end in (self._channel, self._control, self._out, self._err):
                end.close()

    @property
    def alive(self) -> bool:
        """Say whether it can take a call."""
        return not self.retiring and self._process.poll() is None

    def dismiss(self) -> None:
        """Let an idle worker end by itself."""
        self.retiring = True
        with suppress(OSError):
            self._channel.shutdown(socket.SHUT_WR)

    def condemn(self, why: str) -> None:
        """Say why it is ended before `end` does so."""
        self._doom = self._doom or why
        self.retiring = True

    def end(self) -> None:
        """End it and everything below it; blocks for some 10 ms: call it in a thread."""
        self.retiring = True
        if not self.gone.is_set() and self._process.poll() is None:
            end_tree(self.pid)
            self._process.wait()
        if self.used:
            sweep(mark=self.mark, sessions=(self.pid,))

    # -- one task ------------------------------------------------------------------------------------

    async def run(self, call: TaskCall, emit: Emit) -> Outcome:
        """Run a task and return what became of it; when cancelled, leave no process."""
        self._begin(call, emit)
        try:
            try:
                packets = pack(self._number, call)
            except FrameTooLarge as error:
                return refused(call, error)
            await self._send(packets)
            return await self._listen()
        except trio.Cancelled:
            with trio.CancelScope(shield=True):
                await self._stop(call.grace_s)
            raise
        finally:
            self._finish()

    def _begin(self, call: TaskCall, emit: Emit) -> None:
        self._number = self._number % 0xFFFFFFFF + 1
        self.call = call
        self.used = True
        self.unheard = False
        self.last = (call.run.uid, call.stage)
        self.start_deadline = time.monotonic() + call.start_timeout_s
        self._emit = emit
        self._out.begin(call, emit)
        self._err.begin(call, emit)

    def _finish(self) -> None:
        self._out.finish()
        self._err.finish()
        self._emit = _nowhere
        self.call = None
        self.idle_since = time.monotonic()
        if self.gone.is_set():
            self.close()

    async def _send(self, packets: list[bytes]) -> None:
        for packet in packets:
            while True:
                try:
                    self._channel.send(packet)
                    break
                except BlockingIOError:
                    await trio.lowlevel.wait_writable(self._channel)
                except OSError:
                    self.unheard = True
                    return  # it is gone: listening tells how

    async def _listen(self) -> Outcome:
        while True:
            await trio.lowlevel.wait_readable(self._channel)
            try:
                size = self._channel.recv_into(_buffer)
            except BlockingIOError:
                continue
            except ConnectionResetError:
                # The kernel's word for a peer that ended with something unread: the call itself.
                self.unheard = True
                size = 0
            except OSError:
                size = 0
            if not size:
                return await self._explain()
            try:
                outcome = self._take(size)
            except BadFrame as error:
                return await self._expel(f"wrote junk to its result socket: {error}")
            if outcome is not None:
                self._out.finish()
                self._err.finish()
                return outcome

    def _take(self, size: int) -> Outcome | None:
        message = self._assembler.feed(_view[:size])
        if message is None:
            return None
        number, body = message
        outcome: Outcome | None = None
        for said in read_message(body):
            if number != self._number:
                if number == 0 and isinstance(said, Failed):
                    raise ExecutorUnavailable(f"the worker cannot start: {said.error.message}")
            elif isinstance(said, Finished | Failed | Lost | Cancelled):
                outcome = said
            elif isinstance(said, Retiring):
                self.retiring = True
            else:
                if type(said) is Started:
                    self.start_deadline = 0.0
                self._emit(said)
        return outcome

    # -- its end -------------------------------------------------------------------------------------

    async def _expel(self, words: str) -> Outcome:
        assert self.call is not None
        self.condemn("bad_frame")
        await trio.to_thread.run_sync(self.end)
        return Lost("bad_frame", lost(self.call, f"the worker {words}"), self.pid)

    async def _explain(self) -> Outcome:
        """Say why there is no word any more."""
        assert self.call is not None
        self.retiring = True
        with trio.move_on_after(EXIT_S):
            await self.gone.wait()
        code = self._process.poll()
        if self._doom == "closing":
            raise ExecutorUnavailable("the executor is closing")
        if self._doom:
            return Lost(self._doom, lost(self.call, START_TIMEOUT), self.pid)
        if code is None:
            return await self._expel("closed its result socket and went on")
        reason, words = tell_exit(code)
        return Lost(reason, lost(self.call, words), self.pid)

    async def _stop(self, grace_s: float) -> None:
        """Ask, tell, then kill; return when nothing of the process is left."""
        self.retiring = True
        deadline = trio.current_time() + grace_s
        with suppress(OSError):
            self._control.send(b"c")
        with trio.move_on_after(min(ASK_FIRST_S, grace_s)):
            await self._hear_out()
        with suppress(ProcessLookupError):
            if not self.gone.is_set():
                os.killpg(self.pid, signal.SIGTERM)
        with trio.move_on_at(deadline):
            await self._hear_out()
        await trio.to_thread.run_sync(self.end)
        await self.gone.wait()

    async def _hear_out(self) -> None:
        """Take its last words, so that it never waits for us to read; return when it is gone."""
        with suppress(ExecutorUnavailable):
            await self._listen()
        await self.gone.wait()


def _nowhere(event: object) -> None:
    """Drop what is said outside a task."""
