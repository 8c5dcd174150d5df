"""What the machine itself takes for the parts of each figure: the floors, measured in the same run."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path

import trio
import trio_parallel

from benchmarks.timing import Sample, now, repeat, time_once

__all__ = [
    "Commits",
    "array_round_s",
    "import_fastapi_and_sqlmodel",
    "pool_items_per_s",
    "python_pass",
    "worker_round_trips",
]


def nothing(value: int = 0) -> int:
    """Return the argument: the least a worker can do."""
    return value


class Commits:
    """One-row commits to a WAL database in a folder, under one synchronous mode."""

    def __init__(self, folder: Path, mode: str) -> None:
        self._db = sqlite3.connect(folder / f"floor-{mode}.db", isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute(f"PRAGMA synchronous={mode}")
        self._db.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, body TEXT)")

    def commit(self) -> None:
        """Write one row of 200 bytes and commit it."""
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("INSERT INTO t (body) VALUES (?)", ("x" * 200,))
        self._db.execute("COMMIT")

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()


def worker_round_trips(times: int) -> Sample:
    """Time one call of a no-op in a warm trio-parallel worker."""

    async def measure() -> Sample:
        async with trio_parallel.open_worker_context(idle_timeout=60) as context:
            times_s = []
            for at in range(times + 5):
                began = now()
                await context.run_sync(nothing)
                if at >= 5:
                    times_s.append(now() - began)
            return Sample(tuple(times_s))

    return trio.run(measure)


def pool_items_per_s(items: int = 10_000) -> float:
    """Return how many no-op items a second a ProcessPoolExecutor does, given one at a time."""
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(nothing, range(100)))
        took = time_once(
            lambda: [f.result() for f in [pool.submit(nothing, i) for i in range(items)]]
        )
    return items / took


def array_round_s(folder: Path, megabytes: int = 100) -> float:
    """Return the time of np.save to the folder, mapping it back, and its sum."""
    import numpy as np

    def round_trip() -> None:
        path = folder / f"floor-{now()}.npy"
        np.save(path, np.ones(megabytes * 1_000_000 // 8))
        float(np.load(path, mmap_mode="r").sum())

    return repeat(round_trip, 9, warm=2).median_s


def python_pass(times: int = 11) -> Sample:
    """Time an interpreter that does nothing."""
    return repeat(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True), times)


def import_fastapi_and_sqlmodel() -> None:
    """Run an interpreter that imports FastAPI and SQLModel."""
    subprocess.run([sys.executable, "-c", "import fastapi, sqlmodel"], check=True)


def full_commits(folder: Path, mode: str, times: int) -> Sample:
    """Time commits of one mode on their own."""
    with closing(Commits(folder, mode)) as commits:
        return repeat(commits.commit, times)
