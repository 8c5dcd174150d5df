"""The cluster memory of one machine keeps the writers of a key apart, as that of a cluster does."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from flowdapt.plugins.executors.local import LocalExecutor, LocalOptions
from tests.clusters.promises import OneWriter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from flowdapt.domain.task import WorkerEnvironment
    from flowdapt.ports.executor import Executor
    from flowdapt.testing.executor_calls import Bench


class TestLocal(OneWriter):
    async def make(self, environment: WorkerEnvironment) -> Executor:
        return LocalExecutor(LocalOptions(slots=2, cpus=2), environment)

    @asynccontextmanager
    async def two_workers(self) -> AsyncIterator[Bench]:
        async with self.bench() as bench:
            yield bench
