"""Run tasks in a child process of the daemon: one after the other, each in a process as good as new.

Started as `python -P -m flowdapt.runtime.worker SOCKET CONTROL`. The main thread takes calls and runs
bodies, so that they may use signals; a watch thread sends what waits, hears a cancel, and ends the
process with the daemon.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import resource
import select
import signal
import socket
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from msgspec import structs

from flowdapt.domain.task import Cancelled, Failed, LogLine, Lost
from flowdapt.runtime.capture import (
    LINE_MAX_BYTES,
    Capture,
    flush_c_streams,
    replace_stream,
    write_directly,
)
from flowdapt.runtime.context import RunContext
from flowdapt.runtime.descendants import GONE, die_with, end_tree, has_children, reap_children
from flowdapt.runtime.failures import clean, describe
from flowdapt.runtime.frames import (
    PACKET_MAX_BYTES,
    Assembler,
    Retiring,
    pack,
    read_call,
    read_hosted,
    read_setup,
)
from flowdapt.runtime.held import lend
from flowdapt.runtime.invoke import Invoker, StopBody
from flowdapt.runtime.masking import masker_of
from flowdapt.runtime.modules import Targets
from flowdapt.runtime.outbox import Outbox
from flowdapt.runtime.restore import Baseline
from flowdapt.runtime.stage_logs import ContextLogHandler

if TYPE_CHECKING:
    from flowdapt.domain.task import Outcome, TaskCall, TaskEvent
    from flowdapt.runtime.areas import Area
    from flowdapt.runtime.frames import Setup, ToDaemon
    from flowdapt.runtime.keeping import Keeper
    from flowdapt.runtime.masking import Masker

__all__ = ["main"]

# What a body says waits so long at most: one message then carries all of a short task.
FLUSH_S = 0.02
# The watch thread ticks while tasks come; after this long without one it sleeps until woken.
_TICKS_BEFORE_REST = 50
CANCEL = b"c"


class Worker:
    """The loop of a worker process."""

    def __init__(self, channel: socket.socket, control: socket.socket, setup: Setup) -> None:
        environment = setup.environment
        self._pid = os.getpid()
        self._channel = channel
        self._control = control
        self._environment = environment
        self._outbox = Outbox(channel)
        self._context: RunContext | None = None
        self._running = False
        self._serving = False
        self._cancel_asked = False
        self._limit_bytes = 0
        self._wake_read, self._wake_write = os.pipe()
        self._watch_rests = False
        faulthandler.enable(2)  # a segfault says where, and its words are captured
        self._out = replace_stream("stdout", 1)
        self._err = replace_stream("stderr", 2)
        logging.getLogger().addHandler(ContextLogHandler())
        logging.getLogger().setLevel(logging.INFO)
        signal.signal(signal.SIGTERM, self._on_terminate)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        targets = Targets(environment.user_modules, environment.python_path)
        if environment.extensions:
            from flowdapt.runtime.extensions import start_extensions

            start_extensions(environment.extensions, targets.find)
        os.register_at_fork(after_in_child=self._go_on_in_child)
        self._keeper = _keeper(setup) if setup.hosted else None
        keep = self._keeper.keep if self._keeper else None
        self._invoker = Invoker(environment, targets.find, self._enter, keep)
        threading.Thread(target=self._watch, name="flowdapt-watch", daemon=True).start()
        self._baseline = Baseline()

    def serve(self) -> None:
        """Take calls until the daemon closes the socket."""
        assembler = Assembler()
        buffer = bytearray(PACKET_MAX_BYTES)
        view = memoryview(buffer)
        receive = self._channel.recv_into
        while size := receive(buffer):
            message = assembler.feed(view[:size])
            if message is not None:
                self._serve_one(message[0], self._read(message[1]))

    def _read(self, body: bytes | memoryview) -> TaskCall:
        if self._keeper is None:
            return read_call(body)
        hosted = read_hosted(body)
        lend(hosted.copies)
        self._keeper.begin(hosted.handle)
        return hosted.call

    def _serve_one(self, number: int, call: TaskCall) -> None:
        self._outbox.begin(number)
        self._serving = self._running = True
        if self._watch_rests:
            os.write(self._wake_write, b"w")
        if call.secrets or call.gpu_devices or call.memory_limit_bytes:
            outcome = self._run_fenced(call)
        else:
            outcome = self._run(call)
        if os.getpid() != self._pid:  # the body forked, and its child came back here
            os._exit(0)
        leftover = self._leftover()
        last = [outcome] if leftover is None else [outcome, Retiring(leftover)]
        if self._keeper is None:
            self._outbox.finish(*last)
        else:
            self._finish_hosted(self._keeper.take(), *last)
        if leftover is not None:
            self._leave(outcome)
        self._baseline.put_back()
        self._serving = False
        if self._cancel_asked:  # it came after we looked for what is left over
            self._leave(outcome)

    def _finish_hosted(self, area: Area | None, *last: ToDaemon) -> None:
        self._outbox.finish(*last, descriptors=() if area is None else (area.fd,))

    def _run(self, call: TaskCall) -> Outcome:
        masker = masker_of(call.secrets)
        captures = self._open_captures(masker)
        try:
            outcome = self._invoker.run(call, self._say)
        except StopBody:
            # The signal came outside the body's own frames.
            outcome = Cancelled("stopped")
        self._running = False
        with suppress(StopBody):
            for stream in (sys.stdout, sys.stderr):
                with suppress(Exception):
                    stream.flush()
            flush_c_streams()
        self._context = None
        self._out.capture = self._err.capture = None
        for capture in captures:
            capture.finish()
        return outcome

    def _open_captures(self, masker: Masker) -> tuple[Capture, Capture]:
        captures = tuple(
            Capture(
                stream,
                self._outbox.say,
                max_bytes=self._environment.max_output_bytes,
                masker=masker,
                index=self._index,
            )
            for stream in ("stdout", "stderr")
        )
        self._out.capture, self._err.capture = captures
        return captures[0], captures[1]

    def _index(self) -> int | None:
        context = self._context
        return None if context is None else context.index

    def _say(self, event: TaskEvent) -> None:
        """Send what the stage says; records of `logging` are bounded on the way."""
        if type(event) is LogLine:
            event = structs.replace(event, text=clean(event.text, LINE_MAX_BYTES))
        self._outbox.say(event)

    def _run_fenced(self, call: TaskCall) -> Outcome:
        """Run with what holds for this task alone; the environment is put back by the baseline."""
        os.environ.update(call.secrets)
        if call.gpu_devices:
            os.environ["CUDA_VISIBLE_DEVICES"] = call.gpu_devices
        self._limit_bytes = call.memory_limit_bytes
        limits = resource.getrlimit(resource.RLIMIT_DATA)
        try:
            return self._run(call)
        finally:
            self._limit_bytes = 0
            resource.setrlimit(resource.RLIMIT_DATA, limits)

    def _enter(self, context: RunContext) -> None:
        self._context = context
        if self._cancel_asked:
            context.request_cancel()
        if self._limit_bytes:
            self._limit_memory()

    def _limit_memory(self) -> None:
        """Bound what the body adds to what is there: the interpreter and the mapped inputs."""
        with open("/proc/self/statm", "rb") as file:
            now = int(file.read().split()[5]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (now + self._limit_bytes, hard))

    # -- the end of a task, and of the process -------------------------------------------------------

    def _leftover(self) -> str | None:
        """Return what the task left behind that must not meet the next one, in words."""
        if self._cancel_asked:
            return "the task was cancelled"
        if has_children():
            reap_children()
            if has_children():
                return "the task left child processes"
        threads = self._baseline.foreign_threads(2)
        if threads:
            return f"the task left threads: {', '.join(threads[:3])}"
        return None

    def _leave(self, outcome: Outcome) -> NoReturn:
        """End this process and all that it started."""
        with suppress(StopBody):
            self._end_children()
        code = _exit_code(outcome)
        os._exit(code)

    def _end_children(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if has_children():
            end_tree(os.getpid(), with_root=False)

    def _go_on_in_child(self) -> None:
        """Let what a forked child says arrive, and let it end like any process."""
        write_directly(self._out, self._err)
        self._outbox.go_on_in_child()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _on_terminate(self, number: int, frame: Any) -> None:
        if self._running:
            raise StopBody
        # A cancelled task is about to end this process, with what it started.
        if not (self._serving and self._cancel_asked):
            os._exit(0)

    # -- the watch thread ----------------------------------------------------------------------------

    def _watch(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        idle = 0
        while True:
            idle = 0 if self._running else idle + 1
            self._watch_rests = idle > _TICKS_BEFORE_REST
            # A task that began since `idle` was counted has not seen that we rest.
            rests = self._watch_rests and not self._running
            ready = poll.poll(None if rests else FLUSH_S * 1000)
            for number, _ in ready:
                if number == self._wake_read:
                    os.read(number, 64)
                else:
                    self._hear()
            if self._running:
                self._outbox.flush()

    def _hear(self) -> None:
        try:
            said = self._control.recv(16)
        except OSError:
            said = b""
        if CANCEL in said:
            self._cancel_asked = True
            if not self._serving:  # the cancel has met the end of its task, or is before it
                os._exit(0)
            context = self._context
            if context is not None:
                context.request_cancel()
        elif not said:
            self._follow_the_daemon()

    def _follow_the_daemon(self) -> NoReturn:
        end_tree(os.getpid(), with_root=False)
        os._exit(GONE)


def _keeper(setup: Setup) -> Keeper:
    from flowdapt.runtime.keeping import Keeper

    return Keeper(shares_files=setup.shares_files)


def _exit_code(outcome: Outcome) -> int:
    return 1 if isinstance(outcome, Lost) else 0


def _tell_unready(channel: socket.socket, error: BaseException) -> None:
    told = describe(error, stage="", retryable=False)
    channel.send(pack(0, [Failed(told)])[0])


def main() -> None:
    """Serve the socket whose descriptors the command line names."""
    channel_fd, control_fd, parent = (int(word) for word in sys.argv[1:4])
    die_with(parent)
    channel = socket.socket(fileno=channel_fd)
    control = socket.socket(fileno=control_fd)
    for made in (channel, control):
        made.set_inheritable(False)
    message = Assembler().feed(memoryview(channel.recv(PACKET_MAX_BYTES)))
    if message is None:
        return
    try:
        worker = Worker(channel, control, read_setup(message[1]))
    except Exception as error:  # an extension that fails: the daemon is told why
        _tell_unready(channel, error)
        raise
    worker.serve()


if __name__ == "__main__":
    main()
