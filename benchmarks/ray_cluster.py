"""Ray as the engine below: what flowdapt adds to it."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING, Any

from benchmarks import stages
from benchmarks.clusters import MEGABYTES, SIDES, EngineBelow

if TYPE_CHECKING:
    from flowdapt.domain.task import WorkerEnvironment
    from flowdapt.ports.executor import Executor

__all__ = ["RayBelow"]

_NODE = {"object_store_memory": 1024**3, "include_dashboard": False}


class RayBelow(EngineBelow):
    """Ray with two nodes of one CPU each: what goes from one to the other leaves the shared memory."""

    kind = "ray"

    def __init__(self) -> None:
        # Ray reads these once, when it is imported; the daemon and its bridge take them over.
        os.environ.update(
            RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",
            RAY_USAGE_STATS_ENABLED="0",
            RAY_worker_niceness="0",
            RAY_AUTH_MODE="token",
            RAY_AUTH_TOKEN=secrets.token_hex(32),
        )
        import ray
        from ray.cluster_utils import Cluster

        self._ray = ray
        left, right = ({"num_cpus": 1, "resources": {side: 1}, **_NODE} for side in SIDES)
        # Two drivers take turns: neither shall lose its warm workers to the other one's.
        left["_system_config"] = {"num_workers_soft_limit": 8}
        self._cluster = Cluster(initialize_head=True, head_node_args=left)
        self._cluster.add_node(**right)
        self.address = str(self._cluster.address)
        ray.init(address=self.address, log_to_driver=False, logging_level="ERROR")
        self._nothing, self._increment, self._make, self._sum = (
            ray.remote(max_retries=0)(body)
            for body in (stages.nothing, stages.increment, stages.make_array, stages.sum_array)
        )

    def one(self) -> None:
        self._ray.get(self._nothing.remote())

    def many(self, count: int) -> None:
        self._ray.get([self._increment.remote(k) for k in range(count)])

    def array(self, *sides: str) -> None:
        first, second = ({"resources": {side: 1}} for side in sides) if sides else ({}, {})
        made: Any = self._make.options(**first).remote(MEGABYTES)
        self._ray.get(self._sum.options(**second).remote(made))

    def executor(self, environment: WorkerEnvironment) -> Executor:
        from flowdapt.plugins.executors.ray.executor import RayExecutor
        from flowdapt.plugins.executors.ray.options import RayOptions

        return RayExecutor(RayOptions(address=self.address), environment)

    def close(self) -> None:
        self._ray.shutdown()
        self._cluster.shutdown()
