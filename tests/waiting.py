"""Wait for a condition with a deadline, in place of sleeping for a guessed time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def eventually(
    probe: Callable[[], T], *, timeout_s: float = 10.0, every_s: float = 0.02, what: str = ""
) -> T:
    """Call `probe` until it returns something true; return that, or fail at the deadline."""
    deadline = time.monotonic() + timeout_s
    while not (value := probe()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {what or probe}")
        time.sleep(every_s)
    return value
