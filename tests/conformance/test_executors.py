"""Every executor keeps the contract: processes of this machine, threads of this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowdapt.plugins.executors.inprocess import InProcessExecutor
from flowdapt.plugins.executors.local import LocalExecutor, LocalOptions
from flowdapt.testing.executor_contract import ExecutorContract

if TYPE_CHECKING:
    from flowdapt.domain.task import WorkerEnvironment
    from flowdapt.ports.executor import Executor


class TestLocal(ExecutorContract):
    capabilities = LocalExecutor.capabilities

    async def make(self, environment: WorkerEnvironment) -> Executor:
        return LocalExecutor(LocalOptions(slots=2, cpus=2), environment)


class TestInProcess(ExecutorContract):
    capabilities = InProcessExecutor.capabilities

    async def make(self, environment: WorkerEnvironment) -> Executor:
        return InProcessExecutor(environment, slots=2)
