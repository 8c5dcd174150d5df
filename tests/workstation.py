"""A real daemon for a test: a process of its own on a real socket, that may be killed and started again."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flowdapt.client import Client
from flowdapt.paths import find_paths
from tests.waiting import eventually

__all__ = ["Workstation", "workstation"]

COMMAND = [sys.executable, "-m", "flowdapt"]


class Workstation:
    """A home, and at most one daemon in it."""

    def __init__(self, home: Path, environment: Mapping[str, str] | None = None) -> None:
        self.home = home
        self.environment = {
            **os.environ,
            "FLOWDAPT_HOME": str(home),
            "FLOWDAPT_AUTOSTART": "0",
            **(environment or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.log = home / "daemon-output.txt"

    # -- the daemon --------------------------------------------------------------------------------

    def spawn(self, **environment: str) -> subprocess.Popen[bytes]:
        """Start a daemon in the foreground of its own session, without waiting for it."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [*COMMAND, "up", "--foreground"],
                env={**self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return self.process

    def start(self, **environment: str) -> subprocess.Popen[bytes]:
        """Start a daemon and wait until it is ready."""
        process = self.spawn(**environment)
        eventually(self._answers, timeout_s=30, what="the daemon is ready")
        return process

    def _answers(self) -> bool:
        assert self.process is not None
        code = self.process.poll()
        assert code is None, f"the daemon ended with {code}:\n{self.output()}"
        # A bare connect first: httpx leaves its socket open when there is nobody to connect to.
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(self.socket_path) != 0:
                return False
        try:
            with self.client() as client:
                return bool(client.status()["pid"] == self.process.pid)
        except Exception:
            return False

    def kill(self) -> None:
        """Kill the daemon as a power cut would, and wait until it is gone."""
        self.end(signal.SIGKILL)

    def end(self, signum: int = signal.SIGTERM, *, timeout_s: float = 90) -> int:
        """Send a signal and return the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signum)
        code = self.process.wait(timeout_s)
        self.process = None
        return code

    def output(self) -> str:
        """Return what daemons have written so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    # -- using it ----------------------------------------------------------------------------------

    def client(self) -> Client:
        """Return a new client of this daemon."""
        return Client(self.socket_path)

    @property
    def socket_path(self) -> str:
        """Return the path of the daemon's socket."""
        return str(find_paths(self.environment).socket)

    def cli(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a flowdapt command; nothing is checked."""
        return subprocess.run(
            [*COMMAND, *arguments],
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def module(self, name: str, source: str) -> None:
        """Write a module of stages, importable as user_modules.NAME."""
        folder = self.home / "user_modules"
        folder.mkdir(mode=0o700, exist_ok=True)
        (folder / f"{name}.py").write_text(textwrap.dedent(source))

    def database(self) -> sqlite3.Connection:
        """Open the database for reading, beside the daemon."""
        path = next(self.home.rglob("flowdapt.db"))
        return sqlite3.connect(f"file:{path}?mode=ro", uri=True)

    def doctor(self) -> None:
        """Fail when `flowdapt doctor` finds anything broken."""
        done = self.cli("doctor")
        assert done.returncode == 0, done.stdout + done.stderr

    def descendants(self) -> list[int]:
        """Return the pids of all processes that carry this home in their environment."""
        mark = f"FLOWDAPT_HOME={self.home}\0".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    if mark in (entry / "environ").read_bytes() + b"\0":
                        found.append(int(entry.name))
                except OSError:
                    continue
        return found


@contextmanager
def workstation(**environment: str) -> Iterator[Workstation]:
    """Give a workstation in a new home (short: a socket's path holds 107 bytes); end what runs in it."""
    home = Path(tempfile.mkdtemp(prefix="fd-"))
    station = Workstation(home, environment)
    try:
        yield station
    finally:
        if station.process is not None and station.process.poll() is None:
            station.process.kill()
            station.process.wait()
        for pid in station.descendants():
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(home, ignore_errors=True)


def stage(name: str, target: str, *depends_on: str, **more: Any) -> dict[str, Any]:
    """Return a stage document."""
    return {"name": name, "target": target, "depends_on": list(depends_on), **more}


def workflow(name: str, *stages: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """Return a workflow document."""
    return {
        "kind": "workflow",
        "metadata": {"name": name},
        "spec": {"stages": list(stages), **spec},
    }
