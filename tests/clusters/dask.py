"""A Dask cluster of somebody else: a scheduler and workers as its own commands start them; any part can be killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from tests.clusters.ports import free_port
from tests.waiting import eventually

__all__ = ["OutsideDask", "outside_dask"]

_QUIET = {
    "DASK_LOGGING__DISTRIBUTED": "error",
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "false",
}


class OutsideDask:
    """A scheduler, always at the same port, and workers of one thread each; with nannies they come back."""

    def __init__(self, folder: Path, *, nannies: bool = False, options: Sequence[str] = ()) -> None:
        self.folder = folder
        self.port = free_port()
        self.workers: list[subprocess.Popen[bytes]] = []
        self._nannies = nannies
        self._options = list(options)
        self.start_scheduler()

    @property
    def url(self) -> str:
        """Return the address as `flowdapt use` takes it."""
        return f"dask://127.0.0.1:{self.port}"

    def start_scheduler(self) -> None:
        """Start the scheduler, the first time or again."""
        told = self.folder / "scheduler.json"
        told.unlink(missing_ok=True)
        self.scheduler = self._start(
            "dask_scheduler",
            *["--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard"],
            *["--scheduler-file", str(told), *self._options],
        )
        self.address: str = eventually(self._find_address, timeout_s=30)

    def _find_address(self) -> str:
        assert self.scheduler.poll() is None, "the scheduler ended"
        try:
            found: dict[str, Any] = json.loads((self.folder / "scheduler.json").read_bytes())
        except (OSError, ValueError):
            return ""
        return str(found["address"])

    def add_worker(self, *words: str, before: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """Start a worker; return its process, or that of its nanny. `before` goes before the command."""
        worker = self._start(
            "dask_worker",
            self.address,
            *words,
            *["--nthreads", "1", "--host", "127.0.0.1", "--no-dashboard"],
            *["--nanny" if self._nannies else "--no-nanny"],
            *["--local-directory", str(self.folder), *self._options],
            before=before,
        )
        self.workers.append(worker)
        return worker

    def _start(
        self, module: str, *words: str, before: Sequence[str] = ()
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*before, sys.executable, "-m", f"distributed.cli.{module}", *words],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **_QUIET, "PYTHONPATH": str(Path.cwd())},
            start_new_session=True,
        )

    def worker_pids(self) -> list[int]:
        """Return the worker processes under nannies that live now."""
        found = []
        for nanny in self.workers:
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
        self.scheduler.kill()
        self.scheduler.wait()

    def close(self) -> None:
        """End everything that was started here."""
        for process in [*self.workers, self.scheduler]:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for pid in _at_work_in(self.folder):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _is_worker(process: psutil.Process) -> bool:
    """Say whether it is no helper of multiprocessing (its resource tracker, its fork server)."""
    with suppress(psutil.Error):
        return not any("resource_tracker" in w or "forkserver" in w for w in process.cmdline())
    return False


def _at_work_in(folder: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if (entry / "cwd").readlink() == folder:
                    found.append(int(entry.name))
    return found


@contextmanager
def outside_dask(
    workers: int = 2, *, nannies: bool = False, options: Sequence[str] = ()
) -> Iterator[OutsideDask]:
    """Run a cluster for a `with` block; end all of it."""
    folder = Path(tempfile.mkdtemp(prefix="fdask-"))
    cluster = OutsideDask(folder, nannies=nannies, options=options)
    try:
        for _ in range(workers):
            cluster.add_worker()
        if nannies:
            eventually(
                lambda: len(cluster.worker_pids()) == workers,
                timeout_s=60,
                what="the workers live",
            )
        yield cluster
    finally:
        cluster.close()
        shutil.rmtree(folder, ignore_errors=True)
