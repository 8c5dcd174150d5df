"""Run tasks at the other end of a pipe: `ssh NODE python -P -m flowdapt.runtime.piped`, or any command.

Decides the bytes of the pipe and what its end means: every task is stopped, every process ends. How
bodies run is `hosted.py`'s. Whoever holds the near end encodes orders and feeds `Answers`.
"""

from __future__ import annotations

import os
import struct
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from flowdapt.domain.errors import ExecutorUnavailable
from flowdapt.domain.task import Cancelled, Failed, Finished, Lost, TaskCall, WorkerEnvironment
from flowdapt.runtime.facts import facts
from flowdapt.runtime.frames import MESSAGE_MAX_BYTES, BadFrame, Retiring, read_message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flowdapt.domain.task import Outcome, TaskEvent
    from flowdapt.runtime.hosted import Hosted

__all__ = ["Answers", "Hello", "Open", "Refused", "Run", "Said", "Stop", "encode_order"]

# Login shells may greet before the worker does: what comes before this line is skipped.
MAGIC = b"\nflowdapt pipe 1\n"
_LENGTH = struct.Struct("<I")
_FRAME_MAX_BYTES = MESSAGE_MAX_BYTES + 1024
# Of the daemon's environment, where it started us: stages get the secrets that they declare.
_SECRETS = ("FLOWDAPT_SECRET_", "FLOWDAPT_DATABASE", "FLOWDAPT_BROKER")
_STOP_EVERY_S = 0.05
_PATIENCE_S = 10.0


class Open(msgspec.Struct, frozen=True, tag="open"):
    """The first order: where the worker finds things."""

    environment: WorkerEnvironment


class Run(msgspec.Struct, frozen=True, tag="run"):
    """Run a task, beside those that run; its number is used once."""

    number: int
    call: TaskCall


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """Have a task stopped as `Executor.execute` says; its outcome still comes."""

    number: int


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """The first answer: the worker takes tasks, and this is what it runs on (`facts.py`)."""

    facts: dict[str, Any]


class Said(msgspec.Struct, frozen=True, tag="said"):
    """What a task said: the body of a message of `frames.py`. The outcome is the last of all."""

    number: int
    message: bytes

    def content(self) -> tuple[list[TaskEvent], Outcome | None]:
        """Return the events, in order, and the outcome once there is one; raise BadFrame."""
        events: list[TaskEvent] = []
        outcome: Outcome | None = None
        for said in read_message(self.message):
            if isinstance(said, Finished | Failed | Lost | Cancelled):
                outcome = said
            elif not isinstance(said, Retiring):  # which is between the processes over there
                events.append(said)
        return events, outcome


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """The worker cannot run tasks; this one has not begun."""

    number: int
    words: str


Order = Open | Run | Stop
Answer = Hello | Said | Refused

_encode = msgspec.msgpack.Encoder().encode
_decode_order: msgspec.msgpack.Decoder[Order] = msgspec.msgpack.Decoder(Order)
_decode_answer: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


def encode_order(order: Order) -> bytes:
    """Return the bytes of an order."""
    return _framed(order)


class Answers:
    """Puts the answers of one worker together again, however its bytes are cut."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._greeted = False

    def feed(self, chunk: bytes) -> Iterator[Answer]:
        """Yield what is whole now; raise BadFrame for bytes that no worker sends."""
        self._buffer += chunk
        if not self._greeted and not self._find_magic():
            return
        while (body := self._take()) is not None:
            try:
                yield _decode_answer.decode(body)
            except (msgspec.MsgspecError, UnicodeError) as error:
                raise BadFrame(str(error)) from error

    def _find_magic(self) -> bool:
        at = self._buffer.find(MAGIC)
        self._greeted = at >= 0
        # The line may come in two pieces: its beginning stays.
        del self._buffer[: at + len(MAGIC) if self._greeted else -len(MAGIC)]
        return self._greeted

    def _take(self) -> bytes | None:
        if len(self._buffer) < _LENGTH.size:
            return None
        (size,) = _LENGTH.unpack_from(self._buffer)
        if size > _FRAME_MAX_BYTES:
            raise BadFrame(f"an answer of {size} bytes")
        end = _LENGTH.size + size
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[_LENGTH.size : end])
        del self._buffer[:end]
        return body


def _framed(what: Order | Answer) -> bytes:
    body = _encode(what)
    return _LENGTH.pack(len(body)) + body


# -- the far end -----------------------------------------------------------------------------------


class _Worker:
    """Carries out orders, each task in a thread that waits for its process."""

    def __init__(self, hosted: Hosted, out: BinaryIO) -> None:
        self._hosted = hosted
        self._out = out
        self._lock = threading.Lock()
        self._threads: dict[int, threading.Thread] = {}

    def answer(self, what: Answer) -> None:
        """Send an answer; when nobody reads any more, the other pipe says so as well."""
        with self._lock, suppress(OSError):
            self._out.write(_framed(what))
            self._out.flush()

    def obey(self, order: Order) -> None:
        if isinstance(order, Run):
            thread = threading.Thread(
                target=self._run, args=(order.number, order.call), daemon=True
            )
            self._threads[order.number] = thread
            thread.start()
        elif isinstance(order, Stop):
            threading.Thread(target=self._stop, args=(order.number,), daemon=True).start()

    def close(self) -> None:
        """Stop every task; return when the last process has ended."""
        for number in list(self._threads):
            threading.Thread(target=self._stop, args=(number,), daemon=True).start()
        deadline = time.monotonic() + _PATIENCE_S
        for thread in list(self._threads.values()):
            thread.join(max(deadline - time.monotonic(), 0))
        self._hosted.close()

    def _run(self, number: int, call: TaskCall) -> None:
        try:
            done = self._hosted.run(call, {}, lambda said: self._say(number, said), str(number))
            self._say(number, done.message)
        except ExecutorUnavailable as error:
            self.answer(Refused(number, error.message))
        finally:
            del self._threads[number]

    def _say(self, number: int, message: bytes) -> None:
        self.answer(Said(number, message))

    def _stop(self, number: int) -> None:
        """Ask until it has ended: a task that is about to begin does not hear yet."""
        while number in self._threads:
            self._hosted.cancel(str(number))
            time.sleep(_STOP_EVERY_S)


def _orders(source: BinaryIO) -> Iterator[Order]:
    """Yield orders until the pipe ends."""
    while len(prefix := source.read(_LENGTH.size)) == _LENGTH.size:
        (size,) = _LENGTH.unpack(prefix)
        if size > _FRAME_MAX_BYTES or len(body := source.read(size)) < size:
            return
        yield _decode_order.decode(body)


def main() -> None:
    """Serve the orders on stdin until it ends."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what anybody prints must not shift the answers
    orders = _orders(sys.stdin.buffer)
    first = next(orders, None)
    if not isinstance(first, Open):
        sys.exit("the first order is not `open`: is this flowdapt the one that the daemon has?")
    from flowdapt.runtime.hosted import Hosted

    # What lies in this process's memory nobody could fetch: large results go to files.
    hosted = Hosted(first.environment, keeps=False, hidden_variables=_SECRETS)
    worker = _Worker(hosted, out)
    out.write(MAGIC)
    worker.answer(Hello(facts()))
    try:
        for order in orders:
            worker.obey(order)
    finally:
        worker.close()


if __name__ == "__main__":
    main()
