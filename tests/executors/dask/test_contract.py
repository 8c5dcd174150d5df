"""The executor of Dask keeps the contract, on a cluster of somebody else and on one started here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flowdapt.plugins.executors.dask.executor import DaskExecutor
from flowdapt.plugins.executors.dask.options import DaskOptions
from flowdapt.testing.executor_contract import ExecutorContract
from tests.clusters.dask import outside_dask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flowdapt.domain.task import WorkerEnvironment
    from flowdapt.ports.executor import Executor

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with outside_dask() as cluster:
        yield cluster.address


class TestDask(ExecutorContract):
    capabilities = DaskExecutor.capabilities

    @pytest.fixture(autouse=True)
    def _address(self, address: str) -> None:
        self.address = address

    async def make(self, environment: WorkerEnvironment) -> Executor:
        return DaskExecutor(DaskOptions(address=self.address), environment)
