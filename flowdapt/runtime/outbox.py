"""Decide when and in which messages a worker tells what it has to say: together, in order, always small enough."""

from __future__ import annotations

import os
import socket
import threading
from collections import deque
from typing import TYPE_CHECKING

from flowdapt.domain.task import Cancelled, ErrorInfo, Failed, Finished, Lost
from flowdapt.runtime.failures import clean
from flowdapt.runtime.frames import FrameTooLarge, ToDaemon, pack

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Outbox"]

_FLUSH_COUNT = 256


class Outbox:
    """What this process has to say about the current task, from any of its threads."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._lock = threading.Lock()
        # Appending needs no lock, so that a signal handler may speak while the main thread sends.
        self._waiting: deque[ToDaemon] = deque()
        self._number = 0
        self._flush_count = _FLUSH_COUNT

    def begin(self, number: int) -> None:
        """Go on to the next task: what was not sent by now is nobody's."""
        with self._lock:
            self._number = number
            self._waiting.clear()

    def say(self, event: ToDaemon) -> None:
        """Send it with the next message."""
        self._waiting.append(event)
        if len(self._waiting) >= self._flush_count:
            self.flush()

    def flush(self) -> None:
        """Send what waits."""
        if self._waiting:
            with self._lock:
                self._send([self._waiting.popleft() for _ in range(len(self._waiting))])

    def finish(self, *last: ToDaemon, descriptors: Sequence[int] = ()) -> None:
        """Send what waits together with the outcome: one message, one wake-up of the daemon.

        Descriptors go with the first packet; they may be closed afterwards.
        """
        with self._lock:
            waiting = [self._waiting.popleft() for _ in range(len(self._waiting))]
            self._send([*waiting, *last], descriptors)

    def go_on_in_child(self) -> None:
        """Send each word at once: a forked child ends without notice, and has no watch thread.

        What fits in one packet never mixes with the parent's.
        """
        self._lock = threading.Lock()
        self._waiting.clear()
        self._flush_count = 1

    def _send(self, messages: list[ToDaemon], descriptors: Sequence[int] = ()) -> None:
        for packet in _packets(self._number, messages):
            if descriptors:
                socket.send_fds(self._channel, [packet], descriptors)
                descriptors = ()
            else:
                self._channel.send(packet)


def _packets(number: int, messages: list[ToDaemon]) -> list[bytes]:
    """Pack messages together, or in smaller groups where they are too large for one."""
    try:
        return pack(number, messages)
    except (FrameTooLarge, UnicodeEncodeError) as error:
        if len(messages) == 1:
            only = _replacement(messages[0], error)
            return pack(number, [only]) if only is not None else []
        middle = len(messages) // 2
        return _packets(number, messages[:middle]) + _packets(number, messages[middle:])


def _replacement(message: ToDaemon, error: Exception) -> ToDaemon | None:
    """Return what is said instead: an outcome must arrive, an event may be dropped."""
    if isinstance(message, Finished | Failed | Lost | Cancelled):
        words = f"what the task sends back cannot be sent: {error}"
        told = ErrorInfo("flowdapt.domain.errors.TooLarge", clean(words), retryable=False)
        return Failed(told, worker_pid=os.getpid())
    return None
