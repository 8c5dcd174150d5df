"""Decide what is said of tasks that Ray, not their bodies, gave up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ray import exceptions as errors

from flowdapt.domain.errors import ExecutorUnavailable
from flowdapt.domain.task import Lost
from flowdapt.runtime.verdicts import lost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowdapt.domain.task import TaskCall

__all__ = ["cause_of", "last_line", "told"]

_LOSSES: Sequence[tuple[type[Exception], str, str]] = (
    (
        errors.OutOfMemoryError,
        "killed",
        "Ray killed the worker because the memory of its node was used up",
    ),
    (errors.NodeDiedError, "killed", "the node of the Ray cluster that had the task is gone"),
    (errors.WorkerCrashedError, "killed", "the Ray worker that had the task went away"),
)


def cause_of(error: Exception) -> Exception:
    """Return what was raised in the worker, where that is what the error tells."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, Exception) else error


def told(call: TaskCall, error: Exception) -> Lost:
    """Return the loss of a task; raise ExecutorUnavailable where no task can be run at all."""
    if isinstance(error, ExecutorUnavailable):
        raise error
    if isinstance(error, ImportError) or "failed to import" in str(error):
        raise ExecutorUnavailable(
            f"the workers cannot run tasks of flowdapt: {last_line(error)}",
            fix="install the same flowdapt in the environment of the workers",
        ) from error
    if isinstance(error, errors.RuntimeEnvSetupError):
        raise ExecutorUnavailable(f"Ray cannot prepare its workers: {last_line(error)}")
    for kind, reason, words in _LOSSES:
        if isinstance(error, kind):
            return Lost(reason, lost(call, words))
    words = f"Ray gave the task up: {type(error).__name__}: {last_line(error)}"
    return Lost("bridge", lost(call, words))


def last_line(error: BaseException) -> str:
    """Return the line of an error that says what is wrong: Ray puts tracebacks before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
