"""Decide what of a process is put back after each task: what one stage changed must not meet the next.

Working directory, environment, umask, signals, timers, logging, standard streams, import path. Random
state, caches and loaded modules stay: a warm worker is warm by them.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading

# The enumeration that `signal.getsignal` builds for each number costs twenty times the call itself.
from _signal import getsignal, pthread_sigmask  # type: ignore[import-not-found]  # no stubs
from contextlib import suppress
from typing import Any

__all__ = ["Baseline"]

_SIGNALS = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
_NUMBERS = [int(number) for number in _SIGNALS]


class Baseline:
    """The state of this process as it should be between tasks. Take it on the main thread."""

    def __init__(self) -> None:
        self._cwd = os.getcwd()
        self._environ = dict(os.environ)
        self._raw = _raw_environ().copy()
        self._umask = os.umask(0o022)
        os.umask(self._umask)
        self._handlers = [getsignal(number) for number in _NUMBERS]
        self._blocked = pthread_sigmask(signal.SIG_BLOCK, ())
        self._streams = (sys.stdin, sys.stdout, sys.stderr)
        self._path = list(sys.path)
        root = logging.getLogger()
        self._logging = (list(root.handlers), list(root.filters), root.level)
        self._recursion = sys.getrecursionlimit()
        self._spares = [os.dup(number) for number in (1, 2)]
        self._files = [_identity(number) for number in (1, 2)]

    def put_back(self) -> None:
        """Make the state what it was; cheap when nothing was changed."""
        self._put_back_signals()
        self._put_back_directory()
        if _raw_environ() != self._raw:
            os.environ.clear()
            os.environ.update(self._environ)
        os.umask(self._umask)
        sys.stdin, sys.stdout, sys.stderr = self._streams
        if sys.path != self._path:
            sys.path[:] = self._path
        if sys.getrecursionlimit() != self._recursion:
            sys.setrecursionlimit(self._recursion)
        self._put_back_logging()
        self._put_back_descriptors()

    def foreign_threads(self, ours: int) -> list[str]:
        """Return the names of threads that hold the process open, beyond `ours` in all.

        Threads that die with the process are left alone: libraries keep such ones for good.
        """
        if threading.active_count() <= ours:
            return []
        main = threading.main_thread()
        return [
            thread.name
            for thread in threading.enumerate()
            if thread is not main and not thread.daemon
        ]

    def _put_back_signals(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if [getsignal(number) for number in _NUMBERS] != self._handlers:
            for number, handler in zip(_NUMBERS, self._handlers, strict=True):
                if handler is not None and getsignal(number) != handler:
                    with suppress(OSError, ValueError):
                        signal.signal(number, handler)
        pthread_sigmask(signal.SIG_SETMASK, self._blocked)

    def _put_back_directory(self) -> None:
        try:
            if os.getcwd() == self._cwd:
                return
        except OSError:
            pass  # the stage's directory is gone
        with suppress(OSError):
            os.chdir(self._cwd)

    def _put_back_logging(self) -> None:
        root = logging.getLogger()
        handlers, filters, level = self._logging
        if root.handlers != handlers:
            root.handlers[:] = handlers
        if root.filters != filters:
            root.filters[:] = filters
        if root.level != level:
            root.setLevel(level)
        if root.manager.disable:
            logging.disable(logging.NOTSET)

    def _put_back_descriptors(self) -> None:
        for number, spare, file in zip((1, 2), self._spares, self._files, strict=True):
            if _identity(number) != file:
                os.dup2(spare, number)


def _identity(number: int) -> tuple[int, int] | None:
    try:
        found = os.fstat(number)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _raw_environ() -> dict[Any, Any]:
    """Return what lies beneath `os.environ`: comparing it takes 1 µs, through the mapping 30."""
    found: dict[Any, Any] = getattr(os.environ, "_data")  # noqa: B009  (private, and stable since 3.0)
    return found
