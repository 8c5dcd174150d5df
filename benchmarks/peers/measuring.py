"""What every peer is asked, in which order and within which time; the answer is one JSON object.

What a peer cannot do, or not in time, is null with a reason. Standard library only.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import ClassVar

from benchmarks.peers.processes import (
    ROOT,
    adopt_orphans,
    end_tree,
    tree_cpu_seconds,
    tree_rss_mib,
)
from benchmarks.timing import Sample, now, time_once

__all__ = ["KEYS", "CannotDo", "Measured", "Peer", "main"]

RUNS, IN_FLIGHT = 200, 16
CHAIN = 20
BURNS, CORES = 8, 2
# Slow ones last: what runs out of time may leave work behind that would disturb the next.
KEYS = (
    "start_s",
    "idle_rss_mib",
    "idle_cpu_percent",
    "one_run_ms",
    "chain_stage_ms",
    "array_s",
    "burn_efficiency",
    "runs_per_s",
    "items_per_s_in_chunks",
    "items_per_s_1000",
    "items_per_s_10000",
)


class CannotDo(Exception):
    """The peer has no way to do this; the text says why."""


class OverBudget(BaseException):
    """The time of one measurement is over; no `except Exception` of a peer may keep it."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One figure, its slow end (p95 of the times) and how often it was taken; or why there is none."""

    value: float | None
    p95: float | None = None
    n: int = 0
    reason: str = ""


class Peer(ABC):
    """One system. Each method returns when the work is done and its result is in the caller's hands."""

    name: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]
    kept: ClassVar[str]
    """Where it keeps what it ran, and where the user's code runs."""
    in_process: ClassVar[bool] = True
    """It starts inside the caller's process, so that a cold start takes a new one."""

    @abstractmethod
    def start(self, folder: Path) -> list[int]:
        """Get ready to take runs, with all files in the folder; return the processes of it."""

    @abstractmethod
    def stop(self) -> None:
        """Leave no process behind."""

    @abstractmethod
    def one_run(self) -> object:
        """Run one no-op stage."""

    @abstractmethod
    def chain(self) -> object:
        """Run 20 no-op stages in a line."""

    @abstractmethod
    def items(self, count: int) -> object:
        """Map one no-op stage over that many numbers, each item by itself; at most two slots."""

    @abstractmethod
    def array(self) -> object:
        """Make 100 MB in one stage and sum it in the next."""

    @abstractmethod
    def burn(self) -> object:
        """Map half a second of Python over 8 items."""

    def items_in_chunks(self, count: int) -> object:
        """Map the same with the peer's own way of giving many items to a worker at once."""
        raise CannotDo(f"no other way than the one above ({count:,} items)")

    def many_runs(self, count: int, in_flight: int, until: float) -> int:
        """Do that many runs, so many in flight; return how many were done in time."""
        return threaded(self.one_run, count, in_flight, until)


def threaded(one: Callable[[], object], count: int, in_flight: int, until: float) -> int:
    """Call from `in_flight` threads; return how many calls came back in time."""

    def call(_: int) -> bool:
        if now() > until:
            return False
        one()
        return True

    pool = ThreadPoolExecutor(in_flight)
    try:
        return sum(pool.map(call, range(count)))
    finally:
        # A call that hangs must not hold up the end of the measurement.
        pool.shutdown(wait=False, cancel_futures=True)


@dataclass
class Session:
    """The measurements of one peer, all within one deadline."""

    peer: Peer
    folder: Path
    budget_s: float
    deadline: float

    def ask(self, keys: list[str]) -> dict[str, Measured]:
        """Take the figures asked for."""
        found: dict[str, Measured] = {}
        if {"start_s", "idle_rss_mib", "idle_cpu_percent"} & {*keys}:
            found |= self._guarded(("start_s", "idle_rss_mib", "idle_cpu_percent"), self._cold)
        warm = self._warm()
        if {*warm} & {*keys}:
            self.peer.start(_new(self.folder / "warm"))
            for key, measure in warm.items():
                if key in keys:
                    found |= self._guarded((key,), lambda measure=measure: [measure()])
                    print(f"{self.peer.name} {key}: {found[key]}", file=sys.stderr, flush=True)
        return {key: found[key] for key in keys}

    def _warm(self) -> dict[str, Callable[[], Measured]]:
        peer = self.peer
        return {
            "one_run_ms": lambda: self._timed(peer.one_run, 200, scale=1000, warm=5),
            "chain_stage_ms": lambda: self._timed(peer.chain, 30, scale=1000 / CHAIN),
            "array_s": lambda: self._timed(peer.array, 7, scale=1),
            "burn_efficiency": self._burn,
            "runs_per_s": self._runs,
            "items_per_s_in_chunks": lambda: self._rate(peer.items_in_chunks, 10_000),
            "items_per_s_1000": lambda: self._rate(peer.items, 1000),
            "items_per_s_10000": self._many_items,
        }

    def _guarded(
        self, keys: tuple[str, ...], measure: Callable[[], list[Measured]]
    ) -> dict[str, Measured]:
        limit_s = min(self.budget_s, self.deadline - now())
        if limit_s < 1:
            return dict.fromkeys(keys, Measured(None, reason="no time was left for it"))
        try:
            with _alarm(limit_s):
                return dict(zip(keys, measure(), strict=True))
        except OverBudget:
            fault = f"not done in {limit_s:.0f} s"
        except CannotDo as error:
            fault = str(error)
        except Exception as error:
            fault = f"{type(error).__name__}: {str(error)[:200]}"
        return dict.fromkeys(keys, Measured(None, reason=fault))

    def _cold(self) -> list[Measured]:
        folder = _new(self.folder / "cold")
        times_s = []
        for turn in range(4):
            with _cold_start(self.peer, folder) as (took_s, pids):
                times_s.append(took_s)
                idle = _look(pids) if turn == 3 else None
        assert idle is not None
        # The first start makes the database and fills the caches.
        return [_measured(Sample(tuple(times_s[1:])), 1), *idle]

    def _repeat(self, action: Callable[[], object], times: int, warm: int = 1) -> Sample:
        """Time the action so many times, or as often as half of the budget lets."""
        until = now() + self.budget_s / 2
        for _ in range(warm):
            action()
        taken = [time_once(action)]
        while len(taken) < times and now() < until:
            taken.append(time_once(action))
        return Sample(tuple(taken))

    def _timed(
        self, action: Callable[[], object], times: int, *, scale: float, warm: int = 1
    ) -> Measured:
        return _measured(self._repeat(action, times, warm), scale)

    def _rate(self, action: Callable[[int], object], count: int) -> Measured:
        # Slow ones are not warmed: a second time would not fit.
        first_s = time_once(lambda: action(count))
        if first_s > self.budget_s / 8:
            return Measured(count / first_s, None, 1)
        sample = self._repeat(lambda: action(count), 5, warm=0)
        return Measured(count / sample.median_s, count / sample.p95_s, len(sample.times_s))

    def _many_items(self) -> Measured:
        thousand_s = time_once(lambda: self.peer.items(1000))
        if thousand_s * 10 > self.budget_s - thousand_s:
            return Measured(None, reason=f"would take about {thousand_s * 10:.0f} s")
        return self._rate(self.peer.items, 10_000)

    def _runs(self) -> Measured:
        def once() -> float:
            began = now()
            done = self.peer.many_runs(RUNS, IN_FLIGHT, began + self.budget_s / 4)
            return (done or 0) / (now() - began)

        until = now() + self.budget_s / 3
        rates = [once()]
        while len(rates) < 6 and now() < until:
            rates.append(once())
        # Threads and connections are made in the first one.
        rates = sorted(rates[1:] or rates)
        return Measured(rates[len(rates) // 2], rates[0], len(rates))

    def _burn(self) -> Measured:
        """Take the ideal between the turns, in an interpreter that does nothing else."""
        self.peer.burn()
        whole, alone = [], [_burn_alone_s()]
        until = now() + self.budget_s / 2
        while len(whole) < 5 and now() < until:
            whole.append(time_once(self.peer.burn))
            alone.append(_burn_alone_s())
        ideal_s = Sample(tuple(alone)).median_s * BURNS / CORES
        sample = Sample(tuple(whole))
        return Measured(ideal_s / sample.median_s, ideal_s / sample.p95_s, len(whole))


def main(peer: Peer) -> None:
    """Measure the peer and print one JSON object; leave no process behind."""
    parser = argparse.ArgumentParser(description=type(peer).__doc__)
    parser.add_argument("--only", default=",".join(KEYS), help="keys, with commas between")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds a measurement")
    parser.add_argument("--deadline", type=float, default=240.0, help="seconds for all of it")
    parser.add_argument("--start", type=Path, help="start once in this folder, until stdin ends")
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = str(ROOT)
    adopt_orphans()
    out = _quiet_stdout()
    if options.start:
        _start_once(peer, options.start, out)
    else:
        keys = [key for key in KEYS if key in options.only.split(",")]
        _report(peer, keys, options.budget, options.deadline, out)
    end_tree(os.getpid(), itself=False)
    # A peer's threads may never end by themselves.
    os._exit(0)


def _report(peer: Peer, keys: list[str], budget_s: float, deadline_s: float, out: int) -> None:
    before = os.getloadavg()[0]
    folder = Path(tempfile.mkdtemp(prefix=f"{peer.name}-"))
    try:
        session = Session(peer, folder, budget_s, now() + deadline_s)
        figures = session.ask(keys)
        with contextlib.suppress(Exception, OverBudget), _alarm(20):
            peer.stop()
    finally:
        end_tree(os.getpid(), itself=False)
        shutil.rmtree(folder, ignore_errors=True)
    whole = {
        "peer": peer.name,
        "versions": {package: metadata.version(package) for package in peer.packages},
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "date": time.strftime("%Y-%m-%d"),
        "load_before": before,
        "kept": peer.kept,
        **{key: asdict(figure) for key, figure in figures.items()},
    }
    os.write(out, json.dumps(whole, indent=1).encode() + b"\n")


def _start_once(peer: Peer, folder: Path, out: int) -> None:
    peer.start(folder)
    os.write(out, b"ready\n")
    sys.stdin.read()
    with contextlib.suppress(Exception, OverBudget), _alarm(10):
        peer.stop()


@contextmanager
def _cold_start(peer: Peer, folder: Path) -> Iterator[tuple[float, list[int]]]:
    """Start the peer in the folder; give the seconds to ready and its processes."""
    began = now()
    if not peer.in_process:
        pids = peer.start(folder)
        try:
            yield now() - began, pids
        finally:
            peer.stop()
        return
    module = f"benchmarks.peers.{peer.name}"
    command = [sys.executable, "-m", module, "--start", str(folder)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            if child.stdout.readline() != b"ready\n":
                raise RuntimeError("it did not start")
            yield now() - began, [child.pid]
            child.stdin.close()
            child.wait(20)
        finally:
            end_tree(child.pid)


def _look(pids: list[int]) -> list[Measured]:
    """Look at processes that have nothing to do."""
    time.sleep(5)
    used_s, began = tree_cpu_seconds(pids), now()
    time.sleep(10)
    percent = (tree_cpu_seconds(pids) - used_s) / (now() - began) * 100
    return [Measured(tree_rss_mib(pids), n=1), Measured(percent, n=1)]


def _burn_alone_s() -> float:
    code = (
        "from benchmarks.stages import burn; from benchmarks.timing import time_once;"
        "print(time_once(burn))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
    return float(done.stdout)


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raise OverBudget in the main thread after so many seconds, and again should it be swallowed."""

    def over(*_: object) -> None:
        raise OverBudget

    previous = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds, 5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def _measured(sample: Sample, scale: float) -> Measured:
    return Measured(sample.median_s * scale, sample.p95_s * scale, len(sample.times_s))


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _quiet_stdout() -> int:
    """Send what a peer prints to stderr; return where the answer goes."""
    out = os.dup(1)
    os.dup2(2, 1)
    return out
