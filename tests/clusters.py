"""Clusters that tests start beside the daemon, as a cluster's owner would, and whose parts they kill."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.waiting import eventually

__all__ = ["OutsideDask", "free_port", "outside_dask"]


def free_port() -> int:
    """Return a port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class OutsideDask:
    """A scheduler and workers (one thread each, under nannies) on the loopback, without the daemon's help."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.log = folder / "dask.log"
        self.scheduler: subprocess.Popen[bytes] | None = None
        self.nannies: list[subprocess.Popen[bytes]] = []

    @property
    def address(self) -> str:
        return f"dask://127.0.0.1:{self.port}"

    def _spawn(self, *words: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", *words],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={**os.environ, "DASK_DISTRIBUTED__WORKER__LIFETIME__RESTART": "false"},
            )

    def start_scheduler(self) -> None:
        """Start the scheduler, always at the same port."""
        self.scheduler = self._spawn(
            "distributed.cli.dask_scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--no-dashboard",
            "--no-show",
        )
        eventually(self._listens, timeout_s=30, what="the scheduler listens")

    def _listens(self) -> bool:
        assert self.scheduler is not None
        assert self.scheduler.poll() is None, self.log.read_text(errors="replace")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def add_worker(self) -> None:
        """Start a nanny with one worker of one thread."""
        self.nannies.append(
            self._spawn(
                "distributed.cli.dask_worker",
                f"tcp://127.0.0.1:{self.port}",
                "--host",
                "127.0.0.1",
                "--nthreads",
                "1",
                "--nworkers",
                "1",
                "--no-dashboard",
                "--local-directory",
                str(self.folder),
            )
        )

    def worker_pids(self) -> list[int]:
        """Return the processes of workers that live now: the nannies' children."""
        found = []
        for nanny in self.nannies:
            with suppress(psutil.NoSuchProcess):
                children = psutil.Process(nanny.pid).children(recursive=True)
                found += [child.pid for child in children if _is_worker(child)]
        return found

    def kill_worker(self) -> int | None:
        """Kill one worker process; its nanny brings another one."""
        pids = self.worker_pids()
        if not pids:
            return None
        with suppress(ProcessLookupError):
            os.kill(pids[0], signal.SIGKILL)
        return pids[0]

    def kill_scheduler(self) -> None:
        """Kill the scheduler as a crash of its machine would."""
        assert self.scheduler is not None
        self.scheduler.kill()
        self.scheduler.wait()

    def close(self) -> None:
        """End everything that was started here."""
        for process in [*self.nannies, *([self.scheduler] if self.scheduler else [])]:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for pid in _owned_by(self.folder):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _is_worker(process: psutil.Process) -> bool:
    """Say whether it is no helper of multiprocessing (its resource tracker, its fork server)."""
    return not any("resource_tracker" in word or "forkserver" in word for word in process.cmdline())


def _owned_by(folder: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if (entry / "cwd").readlink() == folder:
                    found.append(int(entry.name))
    return found


@contextmanager
def outside_dask(workers: int = 2) -> Iterator[OutsideDask]:
    """Give a Dask cluster that the test owns; end all of it."""
    folder = Path(tempfile.mkdtemp(prefix="fdask-"))
    cluster = OutsideDask(folder, free_port())
    try:
        cluster.start_scheduler()
        for _ in range(workers):
            cluster.add_worker()
        eventually(
            lambda: len(cluster.worker_pids()) == workers, timeout_s=60, what="the workers live"
        )
        yield cluster
    finally:
        cluster.close()
        shutil.rmtree(folder, ignore_errors=True)
