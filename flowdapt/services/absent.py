"""Stand in for an executor that is not open."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import trio

from flowdapt.domain.errors import ExecutorUnavailable
from flowdapt.ports.executor import Capabilities, Capacity, Executor, Scale, WorkerInfo

if TYPE_CHECKING:
    from flowdapt.domain.task import Outcome, TaskCall
    from flowdapt.ports.executor import Emit

__all__ = ["CLOSED", "Absent"]

CLOSED = "it is closed"
# Until it is known what a cluster has, so many tasks of one stage are worth having open.
_GUESSED_TASKS = 16


class Absent(Executor):
    """Has nothing and takes nothing."""

    kind: ClassVar[str] = "absent"
    capabilities: ClassVar[Capabilities] = Capabilities()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        raise ExecutorUnavailable(CLOSED)

    def capacity(self) -> Capacity:
        return Capacity(None, _GUESSED_TASKS)

    def workers(self) -> list[WorkerInfo]:
        return []

    def scale(self) -> Scale:
        return Scale(0)

    async def execute(self, call: TaskCall, emit: Emit) -> Outcome:
        raise ExecutorUnavailable(CLOSED)
