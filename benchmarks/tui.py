"""The workstation on a real terminal: to the first picture, from a key to its picture, and its memory.

With 100,000 runs in the store, while 100 events a second arrive and runs come and go.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import statistics
import struct
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from benchmarks.figure import Figure
from benchmarks.growth import fill
from benchmarks.timing import now, rss_mib
from benchmarks.workstation import Workstation, open_workstation
from flowdapt.client import Client

__all__ = ["tui"]

_RUNS = 100_000
_EVENTS_PER_S, _RUNS_PER_S = 80, 5
_KEYS = 300
_SIZE = (140, 40)
_CURSOR = re.compile(rb"\x1b\[(\d+);1H(?:\x1b\[[\d;]*m)*\xe2\x96\x8c")


# The least that Textual takes from a key to a picture: a line that moves.
_BARE = """
from textual.app import App
from textual.widget import Widget
class Line(Widget, can_focus=True):
    at = 0
    def render(self):
        return "\\n" * (self.at % 2) + "\u258c" + " " * 70
    def key_j(self):
        self.at += 1
        self.refresh()
class Bare(App):
    def compose(self):
        yield Line()
Bare().run()
"""


class _Screen:
    """A program on a terminal, `flowdapt ui` or a bare one; what it wrote since the last key is kept."""

    def __init__(self, station: Workstation, *words: str, bare: bool = False) -> None:
        self.began = now()
        self.pid, self._handle = pty.fork()
        if self.pid == 0:
            os.environ.update(
                {**station.environment, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
            )
            program = ["-c", _BARE] if bare else ["-m", "flowdapt", "ui", *words]
            os.execv(sys.executable, [sys.executable, *program])
        columns, rows = _SIZE
        fcntl.ioctl(self._handle, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.wrote = b""

    def until(self, *wanted: bytes, within_s: float = 30.0) -> float:
        """Read until all of it came; return the seconds since the start."""
        deadline = now() + within_s
        while not all(one in self.wrote for one in wanted):
            assert now() < deadline, (wanted, self.wrote[-500:])
            self._read()
        return now() - self.began

    def press(self, keys: bytes) -> None:
        self.wrote = b""
        os.write(self._handle, keys)

    def cursor_row_after(self, keys: bytes, old: int) -> tuple[float, int]:
        """Press; return the seconds until the cursor stands on another line, and which."""
        self.press(keys)
        began = now()
        while now() - began < 5:
            rows = [int(found[1]) for found in _CURSOR.finditer(self.wrote)]
            moved = [row for row in rows if row != old]
            if moved:
                return now() - began, moved[-1]
            self._read()
        raise AssertionError("the cursor did not move")

    def settle(self, seconds: float) -> int:
        """Read for a while; return the line of the cursor as it was painted last."""
        row, end = 0, now() + seconds
        while now() < end:
            self._read()
        rows = _CURSOR.findall(self.wrote)
        return int(rows[-1]) if rows else row

    def _read(self) -> None:
        if select.select([self._handle], [], [], 0.05)[0]:
            self.wrote += os.read(self._handle, 1 << 16)

    def end(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._handle)


def tui() -> list[Figure]:
    """Measure first paint, key to paint and growth."""
    with open_workstation() as station:
        station.cli("down")
        trio.run(fill, station.home, _RUNS)
        os.sync()
        station.cli("up")
        paint, live = _first_paint(station)
        with _busy():
            floor = _bare_keys(station)
            keys, grown = _keys_and_memory(station)
    words = (
        f"a bare Textual app {_p95(floor) * 1000:.0f}, median {statistics.median(floor) * 1000:.0f}"
    )
    return [
        _figure("TUI, start to first picture, s", paint, 0.7, f"live after {live:.2f} s"),
        _figure(
            "TUI, key to picture, p95, ms", _p95(keys) * 1000, 50,
            f"median {statistics.median(keys) * 1000:.1f}, most {max(keys) * 1000:.1f}, {len(keys)} keys, {_RUNS:,} runs, {_EVENTS_PER_S + 4 * _RUNS_PER_S} events/s",
            words,
        ),
        _figure("TUI growth over 8 simulated hours, MiB/h", grown, 1.0, "8,000 events and 400 runs in 80 s stand for 8 h"),
    ]  # fmt: skip


def _figure(name: str, value: float, target: float, more: str, floor: str = "-") -> Figure:
    return Figure(name, f"{value:.2f} ({more})", floor, value, f"<= {target:g}", value <= target)


def _first_paint(station: Workstation) -> tuple[float, float]:
    """Return the median times to the first picture and to the first news, files being warm."""
    paints, lives = [], []
    for _ in range(6):
        screen = _Screen(station)
        paints.append(screen.until(b"pulse"))
        lives.append(screen.until(b" live"))
        screen.end()
    return statistics.median(paints[1:]), statistics.median(lives[1:])


def _p95(times: list[float]) -> float:
    return statistics.quantiles(times, n=20)[-1]


def _bare_keys(station: Workstation) -> list[float]:
    """Return what a key takes in an app of one line, on this terminal and under this load."""
    screen = _Screen(station, bare=True)
    screen.until(b"\xe2\x96\x8c")
    row = screen.settle(1.0)
    times = []
    for _ in range(_KEYS // 3):
        took, row = screen.cursor_row_after(b"j", row)
        times.append(took)
        screen.settle(0.03)
    screen.end()
    return times


def _keys_and_memory(station: Workstation) -> tuple[list[float], float]:
    screen = _Screen(station, "--view", "runs")
    screen.until(b" live", b"finished")
    # Away from the top the list stands still: what moves the cursor's line is the key alone.
    screen.press(b"G")
    screen.settle(3.0)
    screen.press(b"k")
    row = screen.settle(1.0)
    times = []
    for number in range(_KEYS):
        took, row = screen.cursor_row_after(b"j" if number % 2 else b"k", row)
        times.append(took)
        screen.settle(0.03)
    grown = _growth(screen)
    screen.end()
    return times, grown


def _growth(screen: _Screen) -> float:
    """Return the MiB an hour that it grows by, at the pace of 8 hours in 80 s."""
    screen.settle(10.0)
    before, began = rss_mib(screen.pid), now()
    screen.wrote = b""
    while now() - began < 80:
        screen.settle(1.0)
        screen.wrote = b""
    # 360 times as fast: what came in an hour is what now came in ten seconds.
    return (rss_mib(screen.pid) - before) / 8


@contextmanager
def _busy() -> Iterator[None]:
    """Post events and run runs from a thread each."""
    over = threading.Event()
    threads = [
        threading.Thread(target=_repeat, args=(over, _EVENTS_PER_S, _post)),
        threading.Thread(target=_repeat, args=(over, _RUNS_PER_S, _run)),
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _repeat(over: threading.Event, per_s: float, what: object) -> None:
    assert callable(what)
    client = Client()
    began = time.monotonic()
    number = 0
    while not over.is_set():
        what(client, number)
        number += 1
        over.wait(max(0.0, began + number / per_s - time.monotonic()))


def _post(client: Client, number: int) -> None:
    client.events.post("org.example.load", {"number": number, "pad": "x" * 200})


def _run(client: Client, number: int) -> None:
    client.run("noop")
