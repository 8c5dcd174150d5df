"""The executor of Ray keeps the contract, on a cluster of somebody else: one executor for all tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flowdapt.domain.errors import ExecutorUnavailable
from flowdapt.domain.task import WorkerEnvironment
from flowdapt.plugins.executors.ray.executor import RayExecutor
from flowdapt.plugins.executors.ray.options import RayOptions
from flowdapt.testing.executor_contract import ExecutorContract
from tests.clusters.ray import LOOPBACK, outside_ray
from tests.executors.ray.shared import Borrowed, Lent, lent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flowdapt.ports.executor import Executor

pytestmark = [pytest.mark.clusters, pytest.mark.slow]


@pytest.fixture(scope="module")
def environment_of_all(tmp_path_factory: pytest.TempPathFactory) -> WorkerEnvironment:
    folder = tmp_path_factory.mktemp("ray")
    return WorkerEnvironment(
        values_root=str(folder / "values"),
        artifacts_url=str(folder / "artifacts"),
        memory_root=str(folder / "memory"),
        user_modules=str(folder / "user_modules"),
    )


@pytest.fixture(scope="module")
def running(environment_of_all: WorkerEnvironment) -> Iterator[Lent]:
    with pytest.MonkeyPatch.context() as patch, outside_ray() as cluster:
        for name, value in LOOPBACK.items():
            patch.setenv(name, value)
        options = RayOptions(address=cluster.address, token_file=str(cluster.token_file))
        with lent(RayExecutor(options, environment_of_all)) as running:
            yield running


class TestRay(ExecutorContract):
    capabilities = RayExecutor.capabilities

    @pytest.fixture(autouse=True)
    def _running(self, running: Lent, environment_of_all: WorkerEnvironment) -> None:
        self.running = running
        self.environment_of_all = environment_of_all

    def environment(self) -> WorkerEnvironment:
        return self.environment_of_all

    async def make(self, environment: WorkerEnvironment) -> Executor:
        return Borrowed(self.running)


@pytest.mark.trio
async def test_an_executor_of_ray_that_does_not_run_says_so(
    environment_of_all: WorkerEnvironment,
) -> None:
    executor = RayExecutor(RayOptions(), environment_of_all)
    with pytest.raises(ExecutorUnavailable):
        await executor.check()
