"""Say what became of tasks whose bodies never began: inputs gone, needs unmet, code or inputs refused."""

from __future__ import annotations

from collections.abc import Sequence

from flowdapt.domain.errors import FlowdaptError
from flowdapt.domain.task import ErrorInfo, Failed, Lost, TaskCall
from flowdapt.runtime.verdicts import lost

__all__ = ["missing", "refused", "unfit"]


def missing(call: TaskCall, handles: Sequence[str]) -> Lost:
    """Return the loss of a task whose inputs are no more."""
    words = f"inputs of the task are gone with their workers: {', '.join(handles[:3])}"
    return Lost("missing", lost(call, words), missing=tuple(handles))


def unfit(call: TaskCall, lacking: Sequence[str], who: str) -> Failed:
    """Return the failure of a task that asks for more than `who` can give."""
    kind = "flowdapt.ResourceUnavailable"
    words = f"{who} can give {' and '.join(lacking)}"
    return Failed(ErrorInfo(kind, words, stage=call.stage, retryable=False, bases=(kind,)))


def refused(call: TaskCall, error: FlowdaptError) -> Failed:
    """Return the failure of a task whose code or inputs cannot be sent."""
    kinds = tuple(f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__[:-1])
    told = ErrorInfo(kinds[0], error.message, stage=call.stage, retryable=False, bases=kinds)
    return Failed(told)
