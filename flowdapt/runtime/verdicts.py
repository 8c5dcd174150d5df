"""Decide what is said of a worker that went away under its task."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from flowdapt.domain.task import ErrorInfo, Failed

if TYPE_CHECKING:
    from flowdapt.domain.task import TaskCall

__all__ = ["START_TIMEOUT", "lost", "refused", "tell_exit"]

START_TIMEOUT = "the task did not begin within its start timeout (process start, import, inputs)"


def tell_exit(code: int) -> tuple[str, str]:
    """Return (reason, words) for an exit status as `subprocess` gives it."""
    if code >= 0:
        return "exited", f"the worker exited with code {code} before the task had a result"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    words = f"the worker was killed by signal {-code} ({name})"
    if -code == signal.SIGKILL:
        return "killed", f"{words}, probably out of memory"
    return "crashed", words


def lost(call: TaskCall, words: str) -> ErrorInfo:
    """Return the error of a task whose worker is gone."""
    kind = "flowdapt.WorkerLost"
    return ErrorInfo(kind, words, stage=call.stage, bases=(kind,))


def refused(call: TaskCall, error: Exception) -> Failed:
    """Return the outcome of a call that is too large to be sent."""
    kind = "flowdapt.domain.errors.TooLarge"
    words = f"what the task takes is too large to be sent: {error}"
    return Failed(ErrorInfo(kind, words, stage=call.stage, retryable=False, bases=(kind,)))
