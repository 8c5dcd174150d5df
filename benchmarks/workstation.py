"""A daemon of its own for the measurements: own home, own socket, gone afterwards."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import stages as stage_module
from benchmarks.timing import now
from flowdapt.client import Client
from flowdapt.paths import find_paths

__all__ = ["Workstation", "open_workstation", "time_to_ready"]


def stage(name: str, function: str, *depends_on: str, **more: Any) -> dict[str, Any]:
    """Return a stage that calls a function of benchmarks/stages.py."""
    return {
        "name": name,
        "target": f"user_modules.stages.{function}",
        "depends_on": list(depends_on),
        **more,
    }


def workflow(name: str, *stages: dict[str, Any]) -> dict[str, Any]:
    """Return a workflow document."""
    return {"kind": "workflow", "metadata": {"name": name}, "spec": {"stages": list(stages)}}


def _documents() -> list[dict[str, Any]]:
    chain = [stage("s0", "nothing")] + [
        stage(f"s{i}", "nothing", f"s{i - 1}") for i in range(1, 20)
    ]
    mapped = {"type": "parameterized"}
    return [
        workflow("noop", stage("only", "nothing")),
        workflow("chain", *chain),
        workflow(
            "items", stage("source", "numbers"), stage("each", "increment", "source", **mapped)
        ),
        workflow("array", stage("make", "make_array"), stage("sum", "sum_array", "make")),
        workflow("burn", stage("source", "numbers"), stage("each", "burn", "source", **mapped)),
        workflow("alone", stage("only", "burn")),
    ]


@dataclass
class Workstation:
    """A running daemon and a client of it."""

    home: Path
    pid: int
    client: Client
    environment: dict[str, str]

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a flowdapt command against this daemon."""
        command = [sys.executable, "-m", "flowdapt", *arguments]
        return subprocess.run(
            command, env=self.environment, check=True, capture_output=True, text=True
        )


@contextmanager
def open_workstation(*, apply: bool = True) -> Iterator[Workstation]:
    """Start a daemon in a new home and stop it at the end."""
    home = Path(tempfile.mkdtemp(prefix="flowdapt-bench-"))
    environment = {**os.environ, "FLOWDAPT_HOME": str(home), "FLOWDAPT_AUTOSTART": "0"}
    modules = home / "user_modules"
    modules.mkdir(parents=True, mode=0o700)
    home.chmod(0o700)
    shutil.copy(stage_module.__file__, modules / "stages.py")
    command = [sys.executable, "-m", "flowdapt"]
    subprocess.run([*command, "up"], env=environment, check=True, capture_output=True)
    previous = os.environ.get("FLOWDAPT_HOME")
    os.environ["FLOWDAPT_HOME"] = str(home)
    try:
        client = Client()
        if apply:
            client.apply(_documents())
        yield Workstation(home, client.status()["pid"], client, environment)
    finally:
        subprocess.run(
            [*command, "down", "--now"], env=environment, check=False, capture_output=True
        )
        if previous is None:
            del os.environ["FLOWDAPT_HOME"]
        else:
            os.environ["FLOWDAPT_HOME"] = previous
        shutil.rmtree(home, ignore_errors=True)


def time_to_ready() -> float:
    """Return how long a daemon takes from its process's start until it says that it is ready."""
    home = Path(tempfile.mkdtemp(prefix="flowdapt-bench-"))
    environment = {**os.environ, "FLOWDAPT_HOME": str(home)}
    path = str(find_paths(environment).socket)
    began = now()
    daemon = subprocess.Popen(
        [sys.executable, "-m", "flowdapt", "up", "--foreground"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not _says_ready(path):
            time.sleep(0.002)
        return now() - began
    finally:
        daemon.terminate()
        daemon.wait()
        shutil.rmtree(home, ignore_errors=True)


def _says_ready(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        if connection.connect_ex(path) != 0:
            return False
        connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return connection.recv(16).startswith(b"HTTP/1.1 20")
