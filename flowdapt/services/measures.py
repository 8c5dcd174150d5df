"""Measure the daemon for Prometheus: requests, runs and slots, with bounded labels and wall time."""

from __future__ import annotations

from collections.abc import Mapping

import trio
from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

from flowdapt.domain.run import RunRecord
from flowdapt.ports.broker import RUN_ENDED, Broker

__all__ = ["Measures"]

WORKFLOWS_MAX = 200
OTHER = "(other)"
_REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
_RUN_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600)


class Measures:
    """The figures of one daemon, in a registry of their own."""

    def __init__(self) -> None:
        registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=registry)
        self._registry = registry
        self._workflows: set[str] = set()
        self._requests = Histogram(
            "flowdapt_request_seconds",
            "Wall time from the head of a request to the end of its answer.",
            ("method", "route", "status"),
            buckets=_REQUEST_BUCKETS,
            registry=registry,
        )
        self._runs = Histogram(
            "flowdapt_run_seconds",
            "Wall time from a run's submission to its end.",
            ("workflow", "state"),
            buckets=_RUN_BUCKETS,
            registry=registry,
        )
        self._open_runs = Gauge(
            "flowdapt_open_runs", "Runs that have not ended.", ("state",), registry=registry
        )
        self._slots = Gauge(
            "flowdapt_executor_tasks",
            "Tasks that run or wait on an executor.",
            ("executor", "state"),
            registry=registry,
        )

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request; `route` is the template, never the path."""
        self._requests.labels(method, route, f"{status // 100}xx").observe(seconds)

    def run_ended(self, run: RunRecord) -> None:
        if run.finished_at is None:
            return
        seconds = (run.finished_at - run.created_at).total_seconds()
        self._runs.labels(self._workflow(run.workflow), run.state.value).observe(max(seconds, 0))

    def _workflow(self, name: str) -> str:
        if name in self._workflows:
            return name
        if len(self._workflows) >= WORKFLOWS_MAX:
            return OTHER
        self._workflows.add(name)
        return name

    def text(self, open_runs: Mapping[str, int], slots: Mapping[str, tuple[int, int]]) -> bytes:
        """Return everything in Prometheus' text form."""
        for state in ("queued", "running", "cancelling"):
            self._open_runs.labels(state).set(open_runs.get(state, 0))
        for executor, (busy, waiting) in slots.items():
            self._slots.labels(executor, "running").set(busy)
            self._slots.labels(executor, "waiting").set(waiting)
        return generate_latest(self._registry)

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
