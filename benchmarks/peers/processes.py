"""Processes of a peer: start a server, wait for it, look at a whole tree, and leave nothing behind."""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.timing import children_of, cpu_seconds, now, rss_mib

__all__ = [
    "ROOT",
    "adopt_orphans",
    "end_tree",
    "free_port",
    "program",
    "server",
    "tree",
    "tree_cpu_seconds",
    "tree_rss_mib",
    "wait_for_http",
]

ROOT = Path(__file__).parents[2]
_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Become the parent of what children leave behind, so that it can be found and ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def tree(pids: Iterable[int]) -> list[int]:
    """Return these processes and all their descendants that are there now."""
    found: list[int] = []
    waiting = list(pids)
    while waiting:
        pid = waiting.pop()
        with contextlib.suppress(OSError):
            waiting.extend(children_of(pid))
            found.append(pid)
    return found


def tree_rss_mib(pids: Iterable[int]) -> float:
    """Sum the resident sets of whole trees; a page that n processes share counts n times."""
    return _sum(rss_mib, pids)


def tree_cpu_seconds(pids: Iterable[int]) -> float:
    """Sum the processor time of whole trees."""
    return _sum(cpu_seconds, pids)


def end_tree(pid: int, *, itself: bool = True) -> None:
    """Kill the descendants of a process and, unless told otherwise, the process."""
    for one in tree([pid]):
        if itself or one != pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)


def program(name: str) -> str:
    """Return the path of a program of this virtual environment."""
    return str(Path(sys.executable).parent / name)


def free_port() -> int:
    """Return a port of the loopback interface that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def server(command: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server with its output in a file of the folder; its whole tree is gone afterwards."""
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        whole = tree([process.pid])
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        for pid in whole:
            end_tree(pid)
        process.wait()


def wait_for_http(process: subprocess.Popen[bytes], port: int, path: str) -> None:
    """Return when the server answers; raise when it has left or is silent for 45 s."""
    until = now() + 45
    while now() < until:
        if process.poll() is not None:
            raise RuntimeError(f"the server left with {process.returncode}")
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", path)
            if connection.getresponse().status < 400:
                return
        time.sleep(0.01)
    raise TimeoutError(f"no answer from {path}")


def _sum(figure: object, pids: Iterable[int]) -> float:
    total = 0.0
    for pid in tree(pids):
        with contextlib.suppress(OSError):
            total += figure(pid)  # type: ignore[operator]  # one of the two above
    return total
