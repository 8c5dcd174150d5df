"""Decide how an error of stage code is told: bounded text, user frames only, whatever it raises itself."""

from __future__ import annotations

import os
import traceback
from types import TracebackType
from typing import TYPE_CHECKING

from flowdapt.domain.errors import FlowdaptError, NonRetryable
from flowdapt.domain.task import ErrorInfo

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["TEXT_MAX", "clean", "describe"]

TEXT_MAX = 16 * 1024
_FRAMES_FIRST, _FRAMES_LAST = 10, 30
_CHAIN_MAX = 5
_OURS = os.path.dirname(__file__) + "/"
_IMPORT_MACHINERY = ("<frozen importlib", "<frozen runpy")


def describe(
    error: BaseException,
    *,
    stage: str,
    index: int | None = None,
    retryable: bool = True,
    mask: Callable[[str], str] | None = None,
) -> ErrorInfo:
    """Return an error as text. Never raises, whatever `__str__` does."""
    message, trace = _message(error), _traceback(error)
    if mask is not None:
        message, trace = mask(message), mask(trace)
    kind = type(error)
    return ErrorInfo(
        type=_name(kind),
        message=message,
        traceback=trace,
        stage=stage,
        index=index,
        retryable=retryable and not isinstance(error, NonRetryable),
        bases=tuple(_name(base) for base in kind.__mro__ if base is not object),
    )


def clean(text: str, limit: int = TEXT_MAX) -> str:
    """Cut a text and make it valid UTF-8."""
    if len(text) > limit:
        half = limit // 2
        text = f"{text[:half]} … {len(text) - limit} characters cut … {text[-half:]}"
    return text.encode("utf-8", "backslashreplace").decode()


def _name(kind: type) -> str:
    return clean(f"{kind.__module__}.{kind.__qualname__}", 300)


def _message(error: BaseException) -> str:
    try:
        text = str(error)
        if isinstance(error, FlowdaptError) and error.fix:
            text += f" (fix: {error.fix})"
        return clean(text)
    except BaseException as broken:
        return f"<no message: its __str__ raised {_name(type(broken))}>"


def _traceback(error: BaseException) -> str:
    """Format the chain, oldest first, as Python does."""
    chain: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    joint = ""
    while current is not None and id(current) not in seen and len(chain) < _CHAIN_MAX:
        seen.add(id(current))
        chain.append(_one(current) + joint)
        current, joint = _before(current)
    return clean("".join(reversed(chain)), 4 * TEXT_MAX)


def _before(error: BaseException) -> tuple[BaseException | None, str]:
    if error.__cause__ is not None:
        return (
            error.__cause__,
            "\nThe above exception was the direct cause of the following exception:\n\n",
        )
    if error.__suppress_context__:
        return None, ""
    return (
        error.__context__,
        "\nDuring handling of the above exception, another exception occurred:\n\n",
    )


def _one(error: BaseException) -> str:
    frames = _user_frames(error.__traceback__)
    lines = ["Traceback (most recent call last):\n"] if frames else []
    lines += frames
    if isinstance(error, SyntaxError) and error.filename:
        lines.append(f'  File "{error.filename}", line {error.lineno}\n')
    return "".join(lines) + f"{_name(type(error))}: {_message(error)}\n" + _members(error)


def _members(error: BaseException) -> str:
    if not isinstance(error, BaseExceptionGroup):
        return ""
    inner = "".join(_one(member) for member in error.exceptions[:_CHAIN_MAX])
    return "".join(f"  | {line}\n" for line in inner.splitlines())


def _user_frames(trace: TracebackType | None) -> list[str]:
    steps: list[TracebackType] = []
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if not name.startswith((_OURS, *_IMPORT_MACHINERY)):
            steps.append(trace)
        trace = trace.tb_next
    cut = len(steps) - _FRAMES_FIRST - _FRAMES_LAST
    if cut <= 0:
        return _format(steps)
    # Deep recursion: reading the lines of a thousand frames takes longer than the failure.
    marker = f"  … {cut} frames cut …\n"
    return [*_format(steps[:_FRAMES_FIRST]), marker, *_format(steps[-_FRAMES_LAST:])]


def _format(steps: list[TracebackType]) -> list[str]:
    return traceback.format_list(
        [
            traceback.FrameSummary(
                step.tb_frame.f_code.co_filename, step.tb_lineno, step.tb_frame.f_code.co_name
            )
            for step in steps
        ]
    )
