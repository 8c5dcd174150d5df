"""Clocks, statistics and process figures: what every measurement here is made of."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "Sample",
    "children_of",
    "cpu_seconds",
    "interleave",
    "peak_rss_mib",
    "repeat",
    "rss_mib",
    "time_once",
]

now = time.perf_counter
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Sample:
    """Times of one thing, in seconds."""

    times_s: tuple[float, ...]

    @property
    def median_s(self) -> float:
        return statistics.median(self.times_s)

    @property
    def p95_s(self) -> float:
        ordered = sorted(self.times_s)
        return ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]

    @property
    def words(self) -> str:
        return f"{_ms(self.median_s)} (p95 {_ms(self.p95_s)}, n={len(self.times_s)})"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def time_once(action: Callable[[], object]) -> float:
    """Return how long the action took, in seconds."""
    began = now()
    action()
    return now() - began


def repeat(action: Callable[[], object], times: int, *, warm: int = 3) -> Sample:
    """Time the action so many times, after a few that do not count."""
    for _ in range(warm):
        action()
    return Sample(tuple(time_once(action) for _ in range(times)))


def interleave(
    actions: Iterable[Callable[[], object]], times: int, *, warm: int = 3
) -> list[Sample]:
    """Time several actions in turn (A B C A B C …), so that a drifting machine drifts for all."""
    listed = list(actions)
    for action in listed:
        for _ in range(warm):
            action()
    rounds = [[time_once(action) for action in listed] for _ in range(times)]
    return [Sample(tuple(column)) for column in zip(*rounds, strict=True)]


def rss_mib(pid: int) -> float:
    """Return the resident set of one process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def peak_rss_mib(pid: int) -> float:
    """Return the largest resident set that one process has had so far."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"the kernel tells no peak of process {pid}")


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def children_of(pid: int) -> list[int]:
    """Return the pids of the direct children."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]
