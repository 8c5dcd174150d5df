"""The executor of Ray keeps the contract, on a cluster of somebody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flowdapt.plugins.executors.ray.executor import RayExecutor
from flowdapt.plugins.executors.ray.options import RayOptions
from flowdapt.testing.executor_contract import ExecutorContract
from tests.executors.ray.outside import LOOPBACK, OutsideRay, outside_ray

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flowdapt.domain.task import WorkerEnvironment
    from flowdapt.ports.executor import Executor

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[OutsideRay]:
    with outside_ray() as cluster:
        yield cluster


class TestRay(ExecutorContract):
    capabilities = RayExecutor.capabilities

    @pytest.fixture(autouse=True)
    def _cluster(self, cluster: OutsideRay, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in LOOPBACK.items():
            monkeypatch.setenv(name, value)
        self.cluster = cluster

    async def make(self, environment: WorkerEnvironment) -> Executor:
        options = RayOptions(address=self.cluster.address, token_file=str(self.cluster.token_file))
        return RayExecutor(options, environment)
