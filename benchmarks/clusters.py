"""The figures of clusters: what flowdapt adds to the engine below it, which is measured in the same run.

Each engine is a cluster of two workers on this machine; flowdapt reaches it by its address, as it
would reach any other.
"""

from __future__ import annotations

import os
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import trio

from benchmarks import stages
from benchmarks.figure import Figure
from benchmarks.timing import Sample, interleave, now, peak_rss_mib, repeat, rss_mib, time_once
from benchmarks.workstation import Workstation, open_workstation
from flowdapt.domain.task import Finished, ValueRef, WorkerEnvironment
from flowdapt.ports.executor import Executor
from flowdapt.testing.executor_calls import Bench

__all__ = ["DaskBelow", "EngineBelow", "clusters", "figures_of"]

# Labels of the two workers: a task that asks for one of them runs there.
SIDES = ("left", "right")
ITEMS = 10_000
MEGABYTES = 100
ADDED_MAX_MS = 5.0


class EngineBelow(ABC):
    """A cluster and its own client, as somebody without flowdapt would use it."""

    kind: str
    address: str

    @abstractmethod
    def close(self) -> None:
        """End the cluster."""

    @abstractmethod
    def one(self) -> None:
        """Submit one no-op task and wait for its result."""

    @abstractmethod
    def many(self, count: int) -> None:
        """Submit so many single tasks and wait for all results."""

    @abstractmethod
    def array(self, *sides: str) -> None:
        """Make an array in one task, sum it in another one, each on a side if any; wait for the sum."""

    @abstractmethod
    def executor(self, environment: WorkerEnvironment) -> Executor:
        """Return flowdapt's executor on this cluster."""


class DaskBelow(EngineBelow):
    """Dask as `LocalCluster` starts it."""

    kind = "dask"

    def __init__(self) -> None:
        from distributed import Client, Nanny, Scheduler, SpecCluster

        os.environ["PYTHONPATH"] = str(Path.cwd())
        here = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
        workers = {
            side: {"cls": Nanny, "options": {**here, "nthreads": 1, "resources": {side: 1}}}
            for side in SIDES
        }
        scheduler = {"cls": Scheduler, "options": {**here, "dashboard": False}}
        self._cluster = SpecCluster(workers=workers, scheduler=scheduler, silence_logs=50)
        self._client = Client(self._cluster)
        self.address = str(self._cluster.scheduler_address)

    def one(self) -> None:
        self._client.submit(stages.nothing, pure=False).result()

    def many(self, count: int) -> None:
        futures = [self._client.submit(stages.increment, k, pure=False) for k in range(count)]
        self._client.gather(futures)

    def array(self, *sides: str) -> None:
        first, second = ({side: 1} for side in sides) if sides else (None, None)
        made = self._client.submit(stages.make_array, MEGABYTES, pure=False, resources=first)
        self._client.submit(stages.sum_array, made, pure=False, resources=second).result()

    def executor(self, environment: WorkerEnvironment) -> Executor:
        from flowdapt.plugins.executors.dask.executor import DaskExecutor
        from flowdapt.plugins.executors.dask.options import DaskOptions

        return DaskExecutor(DaskOptions(address=self.address), environment)

    def close(self) -> None:
        self._client.close()
        self._cluster.close()


class Running:
    """An executor that runs in a thread of its own; calls come from this one."""

    def __init__(self, executor: Executor, environment: WorkerEnvironment) -> None:
        self.bench = Bench(executor, environment, "bench")
        self._executor = executor
        self._asked: queue.SimpleQueue[Callable[[], Awaitable[Any]] | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=trio.run, args=(self._serve,))
        self._thread.start()
        self._results.get()

    def run(self, name: str, *args: Any, side: str = "") -> ValueRef:
        """Run one call and return what it came to."""
        resources = {side: 1.0} if side else {}
        call = self.bench.call(f"benchmarks.stages.{name}", *args, resources=resources)
        outcome = self._ask(lambda: self._executor.execute(call, lambda event: None))
        assert isinstance(outcome, Finished), outcome
        return outcome.value

    def array(self, *sides: str) -> None:
        """Do what `EngineBelow.array` does."""
        first, second = sides or ("", "")
        self.run("sum_array", self.run("make_array", MEGABYTES, side=first), side=second)
        # Whoever has only the engine drops its futures here.
        self._ask(lambda: self._executor.forget(self.bench.run))

    def _ask(self, question: Callable[[], Awaitable[Any]]) -> Any:
        self._asked.put(question)
        return self._results.get()

    async def _serve(self) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(self._run)
            self._results.put(None)
            while question := await trio.to_thread.run_sync(self._asked.get):
                self._results.put(await question())
            nursery.cancel_scope.cancel()

    async def _run(self, *, task_status: trio.TaskStatus[None]) -> None:
        await self._executor.run(task_status=task_status)

    def close(self) -> None:
        """End the executor."""
        self._asked.put(None)
        self._thread.join()


@contextmanager
def _running(below: EngineBelow) -> Iterator[Running]:
    with TemporaryDirectory(prefix="flowdapt-bench-") as folder:
        environment = WorkerEnvironment(f"{folder}/v", f"{folder}/a", f"{folder}/m")
        running = Running(below.executor(environment), environment)
        try:
            yield running
        finally:
            running.close()


def figures_of(below: EngineBelow) -> list[Figure]:
    """Measure one engine, and flowdapt on it."""
    kind = below.kind
    with _running(below) as running:
        ours, raw = interleave([lambda: running.run("nothing"), below.one], 100, warm=10)
        there = interleave([lambda: running.array(*SIDES), lambda: below.array(*SIDES)], 15)
        stays = interleave([running.array, below.array], 15)
    added_ms = (ours.median_s - raw.median_s) * 1000
    found = [
        Figure(
            f"{kind}: ms added to one task",
            ours.words,
            raw.words,
            added_ms,
            f"<= {ADDED_MAX_MS:g}",
            added_ms <= ADDED_MAX_MS,
        ),
        _arrays(kind, "to a stage on another worker", *there, most=1.3),
        _arrays(kind, "to a stage on the same worker", *stays),
    ]
    with open_workstation() as station:
        station.cli("executor", "add", "below", kind, "--option", f"address={below.address}")
        switched_s = time_once(lambda: station.cli("use", "below"))
        found += [_switch(kind, switched_s), *_runs(station, below), _memory(station, kind)]
    return found


def _arrays(kind: str, where: str, ours: Sample, raw: Sample, most: float = 0) -> Figure:
    ratio = ours.median_s / raw.median_s
    return Figure(
        f"{kind}: {MEGABYTES} MB {where} / raw",
        ours.words,
        raw.words,
        ratio,
        f"<= {most:g}" if most else "told only",
        not most or ratio <= most,
    )


def _switch(kind: str, switched_s: float) -> Figure:
    words = f"{switched_s:.2f} s, the command's start and all checks included"
    return Figure(f"{kind}: s to switch", words, "-", switched_s, "<= 2", switched_s <= 2)


def _runs(station: Workstation, below: EngineBelow) -> list[Figure]:
    run: Callable[..., Any] = station.client.run
    one, raw_one = interleave([lambda: run("noop", {}, wait=True), below.one], 50, warm=5)
    items = repeat(lambda: run("items", {"n": ITEMS}, wait=True), 7, warm=2)
    raw_items = Sample(tuple(time_once(lambda: below.many(ITEMS)) for _ in range(2)))
    ratio = raw_items.median_s / items.median_s
    added_ms = (one.median_s - raw_one.median_s) * 1000
    return [
        Figure(
            f"{below.kind}: ms added to one task, as a run of its own",
            one.words,
            raw_one.words,
            added_ms,
            "told only",
            reached=True,
        ),
        Figure(
            f"{below.kind}: {ITEMS:,} items / raw single tasks",
            items.words,
            raw_items.words,
            ratio,
            ">= 10",
            ratio >= 10,
        ),
    ]


def _memory(station: Workstation, kind: str) -> Figure:
    """Pass arrays from stage to stage; the daemon's own memory must not follow them."""
    station.client.run("array", {}, wait=True)
    before = rss_mib(station.pid)
    began = now()
    for _ in range(5):
        station.client.run("array", {}, wait=True)
    took_s = (now() - began) / 5
    grown = peak_rss_mib(station.pid) - before
    words = f"{before:.0f} MiB + {grown:.1f} at most, a run takes {took_s * 1000:.0f} ms"
    return Figure(
        f"{kind}: MiB of the daemon for {MEGABYTES} MB arrays",
        words,
        "-",
        grown,
        "<= 20",
        grown <= 20,
    )


def clusters() -> list[Figure]:
    """Measure each engine that is built in."""
    from benchmarks.ray_cluster import RayBelow

    found: list[Figure] = []
    for make in (DaskBelow, RayBelow):
        below = make()
        try:
            found += figures_of(below)
        finally:
            below.close()
    return found
