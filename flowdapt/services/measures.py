"""Measure the daemon for Prometheus: requests, runs and slots, with bounded labels and wall time.

What happens before the library is loaded (after the daemon is ready) is kept and counted then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

import trio

from flowdapt.domain.records import RunRecord
from flowdapt.ports.broker import RUN_ENDED, Broker

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Gauge, Histogram

__all__ = ["Measures"]

WORKFLOWS_MAX = 200
OTHER = "(other)"
_KEPT_MAX = 10_000
_REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
_RUN_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600)


class Measures:
    """The figures of one daemon."""

    def __init__(self) -> None:
        self._figures: _Figures | None = None
        self._kept: deque[tuple[str, tuple[str, ...], float]] = deque(maxlen=_KEPT_MAX)
        self._workflows: set[str] = set()

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request; `route` is the template, never the path."""
        self._observe("requests", (method, route, f"{status // 100}xx"), seconds)

    def run_ended(self, run: RunRecord) -> None:
        """Count a run that has ended."""
        if run.finished_at is None:
            return
        seconds = (run.finished_at - run.created_at).total_seconds()
        self._observe("runs", (self._workflow(run.workflow), run.state.value), max(seconds, 0.0))

    def _workflow(self, name: str) -> str:
        if name in self._workflows:
            return name
        if len(self._workflows) >= WORKFLOWS_MAX:
            return OTHER
        self._workflows.add(name)
        return name

    def _observe(self, which: str, labels: tuple[str, ...], seconds: float) -> None:
        if self._figures is None:
            self._kept.append((which, labels, seconds))
        else:
            self._figures.histograms[which].labels(*labels).observe(seconds)

    def load(self) -> None:
        """Load the library and count what was kept. May be done in a thread."""
        self._loaded()

    def _loaded(self) -> _Figures:
        if self._figures is None:
            self._figures = _Figures()
            while self._kept:
                self._observe(*self._kept.popleft())
        return self._figures

    def text(self, open_runs: Mapping[str, int], slots: Mapping[str, tuple[int, int]]) -> bytes:
        """Return everything in Prometheus' text form."""
        return self._loaded().text(open_runs, slots)

    async def run(
        self,
        broker: Broker,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Count the runs that end, until cancelled."""
        async with broker.subscribe(RUN_ENDED) as ends:
            task_status.started()
            async for message in ends:
                if isinstance(message.value, tuple) and isinstance(message.value[0], RunRecord):
                    self.run_ended(message.value[0])


class _Figures:
    """The library's own objects, in a registry of their own."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry
        from prometheus_client.process_collector import ProcessCollector

        self._registry = registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=registry)
        self.histograms = {"requests": _requests(registry), "runs": _runs(registry)}
        self._open_runs = _gauge(
            registry, "flowdapt_open_runs", "Runs that have not ended.", "state"
        )
        self._slots = _gauge(
            registry,
            "flowdapt_executor_tasks",
            "Tasks that run or wait on an executor.",
            "executor",
            "state",
        )

    def text(self, open_runs: Mapping[str, int], slots: Mapping[str, tuple[int, int]]) -> bytes:
        from prometheus_client import generate_latest

        for state in ("queued", "running", "cancelling"):
            self._open_runs.labels(state).set(open_runs.get(state, 0))
        for executor, (busy, waiting) in slots.items():
            self._slots.labels(executor, "running").set(busy)
            self._slots.labels(executor, "waiting").set(waiting)
        return generate_latest(self._registry)


def _requests(registry: CollectorRegistry) -> Histogram:
    from prometheus_client import Histogram

    return Histogram(
        "flowdapt_request_seconds",
        "Wall time from the head of a request to the end of its answer.",
        ("method", "route", "status"),
        buckets=_REQUEST_BUCKETS,
        registry=registry,
    )


def _runs(registry: CollectorRegistry) -> Histogram:
    from prometheus_client import Histogram

    return Histogram(
        "flowdapt_run_seconds",
        "Wall time from a run's submission to its end.",
        ("workflow", "state"),
        buckets=_RUN_BUCKETS,
        registry=registry,
    )


def _gauge(registry: CollectorRegistry, name: str, words: str, *labels: str) -> Gauge:
    from prometheus_client import Gauge

    return Gauge(name, words, labels, registry=registry)
