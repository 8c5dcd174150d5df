"""Decide what is shown of a Dask cluster: its workers, what they have, how far it grows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowdapt.plugins.bridge.engine import State
from flowdapt.plugins.executors.dask.shares import Labels
from flowdapt.ports.executor import Capacity, Scale, WorkerInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flowdapt.plugins.executors.dask.cluster import LocalCluster
    from flowdapt.plugins.executors.dask.options import DaskOptions

__all__ = ["state_of"]


def state_of(
    workers: Mapping[str, Mapping[str, Any]],
    running: Mapping[str, str],
    options: DaskOptions,
    cluster: LocalCluster | None,
) -> State:
    """Return the state; `running` are the keys of our tasks by the address where they run."""
    infos = tuple(_info(address, about, running) for address, about in workers.items())
    if cluster is None:
        return State(_capacity(workers), infos, Scale(len(infos)))
    scale = Scale(len(infos), cluster.minimum, cluster.maximum)
    custom = {name: amount * cluster.maximum for name, amount in options.resources.items()}
    gpus = float(min(options.gpus, cluster.maximum))
    return State(Capacity(None, float(cluster.maximum), gpus, 0, custom), infos, scale)


def _capacity(workers: Mapping[str, Mapping[str, Any]]) -> Capacity:
    labels = Labels(workers)
    threads = sum(int(about.get("nthreads", 1)) for about in workers.values())
    return Capacity(None, float(threads), labels.gpus(), 0, labels.custom())


def _info(address: str, about: Mapping[str, Any], running: Mapping[str, str]) -> WorkerInfo:
    metrics = about.get("metrics") or {}
    counts = metrics.get("task_counts") or {}
    busy = address in running or counts.get("executing", 0) > 0
    return WorkerInfo(
        name=str(about.get("name") or address),
        state="busy" if busy else "idle",
        task_key=running.get(address),
        rss_bytes=int(metrics["memory"]) if "memory" in metrics else None,
        details={
            "address": address,
            "threads": int(about.get("nthreads", 1)),
            "memory_limit_bytes": int(about.get("memory_limit") or 0),
            "resources": dict(about.get("resources") or {}),
            "status": str(about.get("status", "")),
        },
    )
