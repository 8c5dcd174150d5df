"""What following the journal costs: many readers, some of them stuck, at a steady rate of events."""

from __future__ import annotations

import json
import selectors
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from benchmarks.figure import Figure
from benchmarks.timing import cpu_seconds, now, rss_mib
from benchmarks.workstation import open_workstation
from flowdapt.paths import find_paths

__all__ = ["Load", "Outcome", "events", "measure"]

_TYPE = "org.example.load"
_LAST = "org.example.load.last"
_WRITERS = 4
_GROWTH_MIB = 64


@dataclass(frozen=True, slots=True)
class Load:
    """How many read, how many of them never take anything, how many events a second, how long."""

    readers: int = 50
    stuck: int = 5
    per_s: int = 500
    seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of it. `missing` counts events that a reader which reads was not told."""

    posted: int
    missing: int
    gaps: int
    grown_mib: float
    cpu_share: float
    seconds: float


class _Reader:
    """One reader; it notes what it is told and nothing else."""

    def __init__(self, path: Path) -> None:
        self.connection = _follow(path)
        self.told: set[int] = set()
        self.gaps = 0
        self.ended = False
        self._rest = b""

    def take(self) -> None:
        """Read what is there. Whole lines alone are looked at: fifty decoders would be a load."""
        *lines, self._rest = (self._rest + self.connection.recv(262_144)).split(b"\n")
        for line in lines:
            if line.startswith(b"event: gap"):
                self.gaps += 1
            elif line.startswith(b"event: " + _LAST.encode()):
                self.ended = True
            elif line.startswith(b"data: ") and b'"number":' in line:
                self.told.add(int(line.partition(b'"number":')[2].partition(b",")[0]))


def _follow(path: Path) -> socket.socket:
    """Follow the journal from now on; return when the daemon has said that it is so."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(path))
    connection.sendall(
        b"GET /api/v1/events?type=org.example.* HTTP/1.1\r\nHost: x\r\n"
        b"Accept: text/event-stream\r\n\r\n"
    )
    head = b""
    while b": open" not in head:
        head += connection.recv(4096)
    return connection


class _Crowd:
    """All readers that read, on one thread, so that measuring costs little itself."""

    def __init__(self, readers: list[_Reader]) -> None:
        self._readers = readers
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with selectors.DefaultSelector() as selector:
            for reader in self._readers:
                selector.register(reader.connection, selectors.EVENT_READ, reader)
            while selector.get_map():
                for key, _ in selector.select(1.0):
                    reader = key.data
                    reader.take()
                    if reader.ended:
                        selector.unregister(reader.connection)

    def wait(self) -> None:
        """Return when all have been told the last event."""
        self._thread.join(60)
        assert not self._thread.is_alive(), "a reader was not told the last event"


class _Writer:
    """Posts events over one connection."""

    def __init__(self, path: Path) -> None:
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(str(path))
        self._answer = self._connection.makefile("rb")

    def post(self, kind: str, number: int) -> None:
        """Post one event and read the answer."""
        body = json.dumps({"type": kind, "data": {"number": number, "pad": "x" * 200}}).encode()
        head = (
            "POST /api/v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._connection.sendall(head.encode() + body)
        status = self._answer.readline()
        assert b" 201 " in status, status
        size = 0
        while (line := self._answer.readline().strip().lower()) != b"":
            if line.startswith(b"content-length:"):
                size = int(line.partition(b":")[2])
        self._answer.read(size)

    def close(self) -> None:
        self._answer.close()
        self._connection.close()


def measure(path: Path, pid: int, load: Load) -> Outcome:
    """Let them read and be told; return what was missing and what it cost the daemon."""
    readers = [_Reader(path) for _ in range(load.readers - load.stuck)]
    stuck = [_follow(path) for _ in range(load.stuck)]
    crowd = _Crowd(readers)
    before, used, began = rss_mib(pid), cpu_seconds(pid), now()
    with _Watch(pid) as watch:
        posted = _post_all(path, load)
        seconds = now() - began
        share = (cpu_seconds(pid) - used) / seconds
        last = _Writer(path)
        last.post(_LAST, -1)
        crowd.wait()
    for connection in (*stuck, *(reader.connection for reader in readers), last):
        connection.close()
    missing = sum(len(posted - reader.told) for reader in readers)
    gaps = sum(reader.gaps for reader in readers)
    return Outcome(len(posted), missing, gaps, watch.peak_mib - before, share, seconds)


def _post_all(path: Path, load: Load) -> set[int]:
    """Post at the rate, from a few connections; return what was acknowledged."""
    total = int(load.per_s * load.seconds)
    began = now()
    posted: set[int] = set()

    def write(which: int) -> None:
        writer = _Writer(path)
        for number in range(which, total, _WRITERS):
            time.sleep(max(0.0, began + number / load.per_s - now()))
            # A machine that cannot keep up ends late, not never.
            if now() > began + 2 * load.seconds:
                break
            writer.post(_TYPE, number)
            posted.add(number)
        writer.close()

    writers = [threading.Thread(target=write, args=(which,)) for which in range(_WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    return posted


class _Watch:
    """Looks at the daemon's memory a few times a second and keeps the largest."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.peak_mib = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.2):
            self.peak_mib = max(self.peak_mib, rss_mib(self._pid))


def events() -> list[Figure]:
    """Measure fifty readers, five of them stuck, at 500 events a second for half a minute."""
    load = Load()
    with open_workstation(apply=False) as station:
        station.client.events.post("org.example.warm")
        path = find_paths(station.environment).socket
        alone = measure(path, station.pid, Load(0, 0, load.per_s, load.seconds / 3))
        found = measure(path, station.pid, load)
    rate = found.posted / found.seconds
    words = f"{found.posted} events, {rate:.0f}/s, {load.readers} readers, {load.stuck} stuck"
    return [
        Figure(
            "events missing for readers that read",
            words,
            "-",
            found.missing,
            "<= 0",
            found.missing == 0,
        ),
        Figure(
            "daemon growth by the readers, MiB",
            f"{found.grown_mib:.1f}",
            "-",
            found.grown_mib,
            f"<= {_GROWTH_MIB}",
            found.grown_mib <= _GROWTH_MIB,
        ),
        Figure(
            "daemon CPU under the readers, % of a core",
            f"{found.cpu_share * 100:.0f}",
            f"{alone.cpu_share * 100:.0f} with nobody reading",
            found.cpu_share * 100,
            "told only",
            reached=True,
        ),
    ]
