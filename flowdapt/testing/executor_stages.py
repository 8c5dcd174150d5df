"""Stage functions that `ExecutorContract` runs: every worker that can import flowdapt finds them.

The ones that end their process or never end belong to declared capabilities and run nowhere else.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from flowdapt.domain.errors import NonRetryable
from flowdapt.runtime.context import get_run_context

__all__ = ["target"]


def target(name: str) -> str:
    """Return the target of one of the functions here."""
    return f"{__name__}:{name}"


def nothing() -> None:
    return None


def add(a: int, b: int = 10) -> int:
    return a + b


def everything(*values: Any) -> list[Any]:
    return list(values)


def rest(a: int, **more: Any) -> dict[str, Any]:
    return {"a": a, "more": more}


async def later(a: int) -> int:
    import asyncio

    await asyncio.sleep(0)
    return a * 2


def pair(a: int) -> tuple[int, str]:
    return a, str(a)


def type_name(value: Any) -> str:
    return type(value).__name__


def change(value: list[int]) -> list[int]:
    value.append(99)
    return value


def fail() -> None:
    raise LookupError("no such luck")


def fail_for_good() -> None:
    raise NonRetryable("not again")


class Mute(Exception):
    """An error that cannot even say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def fail_mutely() -> None:
    raise Mute


def unpicklable() -> Any:
    return {"rows": [1, threading.Lock()]}


def square_or_fail(item: int) -> int:
    if item < 0:
        raise ValueError(f"{item} is negative")
    return item * item


def scale(item: int, factor: int) -> int:
    return item * factor


def slowly(item: int) -> int:
    time.sleep(0.02)
    return item


def with_index(item: int) -> list[Any]:
    context = get_run_context()
    return [item, context.index, context.task_key]


def identity() -> dict[str, Any]:
    context = get_run_context()
    return {
        "uid": context.run.uid,
        "stage": context.stage,
        "attempt": context.attempt,
        "namespace": context.namespace,
        "input": context.input,
    }


def speak(words: str) -> str:
    context = get_run_context()
    context.logger.warning("warned: %s", words)
    context.progress(1, 4, words)
    context.metric("loss", 0.5, 3)
    print(f"printed: {words}")  # noqa: T201  (captured)
    os.write(1, b"written: " + words.encode() + b"\n")
    sys.stderr.write(f"told: {words}\n")
    return words


def speak_and_wait(gate: str) -> None:
    print("before the gate")  # noqa: T201  (captured)
    _wait_for(gate)


def reveal() -> str:
    secret = os.environ.get("API_KEY") or get_run_context().secrets["API_KEY"]
    print(f"the key is {secret}")  # noqa: T201  (captured)
    raise ValueError(f"refused: {secret}")


def find_secret() -> list[Any]:
    return [os.environ.get("API_KEY"), dict(get_run_context().secrets)]


def die(code: int) -> None:
    os._exit(code)


def be_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave() -> None:
    sys.exit(0)


def run_for_ever(witness: str) -> None:
    """Loop, deaf to SIGTERM; the witness holds the pid."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _testify(witness)
    while True:
        time.sleep(0.05)


def run_until_cancelled(witness: str) -> None:
    context = get_run_context()
    _testify(witness)
    while not context.cancelled:
        time.sleep(0.005)
    Path(f"{witness}.end").write_text("looked", encoding="utf-8")


def pid() -> int:
    return os.getpid()


def wait(gate: str, value: int) -> int:
    _wait_for(gate)
    return value


def _testify(witness: str) -> None:
    part = Path(f"{witness}.part")
    part.write_text(str(os.getpid()), encoding="utf-8")
    part.rename(witness)


def _wait_for(gate: str) -> None:
    deadline = time.monotonic() + 30
    while not Path(gate).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{gate} was never made")
        time.sleep(0.005)
