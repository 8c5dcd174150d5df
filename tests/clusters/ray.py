"""A Ray cluster of somebody else: started as Ray's own command does, on loopback, with a token."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tests.clusters.ports import free_port
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["LOOPBACK", "OutsideRay", "outside_ray"]

# With it Ray takes 127.0.0.1 for what it is; clients of such a cluster need it as well.
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


class OutsideRay:
    """A head with two CPUs; it and its parts can be killed."""

    def __init__(
        self, folder: Path, options: Sequence[str] = (), *, before: Sequence[str] = ()
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.token_file = folder / "token"
        self.token_file.write_text(secrets.token_hex(32), encoding="ascii")
        self._log = (folder / "log").open("wb")
        self.head = subprocess.Popen(
            [
                *[
                    *before,
                    sys.executable,
                    "-m",
                    "ray.scripts.scripts",
                    "start",
                    "--head",
                    "--block",
                ],
                *["--node-ip-address=127.0.0.1", f"--port={self.port}", "--num-cpus=2"],
                *["--include-dashboard=false", f"--temp-dir={folder}", "--disable-usage-stats"],
                *[f"--object-store-memory={256 * 1024 * 1024}", *options],
            ],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env={
                **os.environ,
                **LOOPBACK,
                "RAY_worker_niceness": "0",
                "RAY_AUTH_MODE": "token",
                "RAY_AUTH_TOKEN_PATH": str(self.token_file),
            },
            start_new_session=True,
        )
        eventually(self._is_up, timeout_s=60, what="the head of Ray is up")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _is_up(self) -> bool:
        said = (self.folder / "log").read_text(encoding="utf-8", errors="replace")
        assert self.head.poll() is None, said
        return "runtime started" in said

    def serves_clients(self, port: int) -> bool:
        """Say whether its client server lets somebody in: it refuses the first ones after its start."""
        environ = {
            **os.environ,
            **LOOPBACK,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.token_file),
        }
        code = f"import ray; ray.init('ray://127.0.0.1:{port}')"
        done = subprocess.run(
            [sys.executable, "-c", code], env=environ, capture_output=True, check=False
        )
        return done.returncode == 0

    def processes(self, name: str) -> list[psutil.Process]:
        """Return those of its processes whose command line holds the name."""
        found = []
        for process in psutil.Process(self.head.pid).children(recursive=True):
            with suppress(psutil.Error):
                if name in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def close(self) -> None:
        """End all of it."""
        ours = [psutil.Process(self.head.pid)] if self.head.poll() is None else []
        ours += [child for process in ours for child in process.children(recursive=True)]
        for process in ours:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        self.head.wait()
        psutil.wait_procs(ours, timeout=10)
        self._log.close()


@contextmanager
def outside_ray(options: Sequence[str] = (), *, before: Sequence[str] = ()) -> Iterator[OutsideRay]:
    """Run a cluster for a `with` block; Ray's sockets need a short path. `before` goes before the command."""
    folder = Path(tempfile.mkdtemp(prefix="fray-", dir="/tmp"))
    try:
        cluster = OutsideRay(folder, options, before=before)
        try:
            yield cluster
        finally:
            cluster.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
