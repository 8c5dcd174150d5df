"""A Dask cluster of somebody else: a scheduler and workers in processes, as its own commands start them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_QUIET = {
    "DASK_LOGGING__DISTRIBUTED": "error",
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "false",
}


class OutsideCluster:
    """Scheduler and workers; each can be killed."""

    def __init__(self, folder: Path, options: Sequence[str] = ()) -> None:
        self._folder = folder
        self._options = list(options)
        self.scheduler = self._start(
            "dask_scheduler",
            *["--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0"],
            *["--scheduler-file", str(folder / "scheduler.json"), *self._options],
        )
        self.address: str = eventually(self._find_address, timeout_s=30)
        self.workers: list[subprocess.Popen[bytes]] = []

    def _find_address(self) -> str:
        try:
            found: dict[str, Any] = json.loads((self._folder / "scheduler.json").read_bytes())
        except (OSError, ValueError):
            return ""
        return str(found["address"])

    def add_worker(self, *options: str) -> subprocess.Popen[bytes]:
        """Start a worker with one thread and without a nanny."""
        worker = self._start(
            "dask_worker",
            self.address,
            *["--nthreads", "1", "--no-nanny", "--host", "127.0.0.1", "--no-dashboard"],
            *["--local-directory", str(self._folder), *self._options, *options],
        )
        self.workers.append(worker)
        return worker

    def _start(self, module: str, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{module}", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **_QUIET, "PYTHONPATH": str(Path.cwd())},
            start_new_session=True,
        )

    def close(self) -> None:
        for process in (*self.workers, self.scheduler):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def outside_cluster(
    folder: Path, workers: int = 2, options: Sequence[str] = ()
) -> Iterator[OutsideCluster]:
    """Run a cluster for a `with` block."""
    cluster = OutsideCluster(folder, options)
    try:
        for _ in range(workers):
            cluster.add_worker()
        yield cluster
    finally:
        cluster.close()
