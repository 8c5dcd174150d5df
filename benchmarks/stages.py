"""The user code that every figure runs. Pure functions: nothing of flowdapt in them."""

from __future__ import annotations

from typing import Any


def nothing(*_: Any) -> int:
    return 1


def increment(number: int) -> int:
    return number + 1


def numbers(n: int = 1000) -> list[int]:
    return list(range(n))


def burn(_: int = 0, loops: int = 6_000_000) -> int:
    """Keep one core busy for about half a second."""
    left = 0
    for k in range(loops):
        left = (left + k * k) & 0xFFFF
    return left


def make_array(megabytes: int = 100) -> Any:
    import numpy as np

    return np.ones(megabytes * 1_000_000 // 8)


def sum_array(array: Any) -> float:
    return float(array.sum())


def stamp(sent: float) -> list[float]:
    """Return when the run was asked for and when this body began."""
    import time

    return [sent, time.time()]
