"""Make one attempt at a task on an executor: its secrets, its call, its time limit.

An executor that is away is waited for. Everything else that can go wrong is an outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import trio

from flowdapt.domain.errors import ExecutorUnavailable, FlowdaptError
from flowdapt.domain.ledger import Task
from flowdapt.domain.mapping import BUDGET_S
from flowdapt.domain.retry import TIMEOUT
from flowdapt.domain.task import ErrorInfo, Failed, Lost, Outcome, Started, TaskCall, TaskEvent
from flowdapt.domain.workflow import StageSpec
from flowdapt.failpoints import failpoint
from flowdapt.ports.executor import Emit
from flowdapt.services.calls import Calls
from flowdapt.services.dispatch import Dispatcher

__all__ = ["Attempts", "SecretSource"]

_AGAIN_S = 0.1


class SecretSource(Protocol):
    """Where declared secrets come from."""

    async def get_many(self, names: tuple[str, ...]) -> Mapping[str, str]:
        """Return the values; raise NotFound naming the first missing one and how to set it."""
        ...


class Attempts:
    """Makes the attempts of one run. `stalled` holds the tasks that wait for an executor that is away."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        calls: Calls,
        secrets: SecretSource | None,
        tell: Callable[[Task, TaskEvent], None],
        stalled: set[Task],
    ) -> None:
        self._dispatcher = dispatcher
        self._calls = calls
        self._secrets = secrets
        self._tell = tell
        self._stalled = stalled

    async def make(self, task: Task, spec: StageSpec, gpu_devices: str) -> Outcome:
        """Run the task once; the caller holds its slot. `tell` hears what the task says meanwhile."""
        try:
            secrets = await self._secrets_of(spec)
        except FlowdaptError as error:
            return Failed(_refusal(error, task.stage))
        failpoint("drive.before_task")
        call = self._calls.make(task, spec, secrets=secrets, gpu_devices=gpu_devices)
        if spec.timeout is None:
            return await self._execute(task, call, lambda event: self._tell(task, event))
        # The items of a chunk share its budget before the limit of one of them counts.
        limit_s = spec.timeout + (BUDGET_S if task.stop - task.start > 1 else 0.0)
        with trio.CancelScope() as scope:

            def tell_and_watch(event: TaskEvent) -> None:
                if isinstance(event, Started):
                    scope.deadline = trio.current_time() + limit_s
                self._tell(task, event)

            return await self._execute(task, call, tell_and_watch)
        return Failed(_timeout(task.stage, limit_s))

    async def _execute(self, task: Task, call: TaskCall, emit: Emit) -> Outcome:
        dispatcher = self._dispatcher
        circuit = dispatcher.circuit

        def hear(event: TaskEvent) -> None:
            dispatcher.succeeded()
            emit(event)

        while True:
            scouts = circuit.words is not None and await self._pass(task)
            try:
                outcome = await dispatcher.executor.execute(call, hear if scouts else emit)
            except ExecutorUnavailable as error:
                dispatcher.failed(error.message)
                # An executor that was lost is about to say so itself, and knows why.
                await trio.sleep(_AGAIN_S)
            else:
                if not isinstance(outcome, Lost):
                    dispatcher.succeeded()
                return outcome
            finally:
                if scouts:
                    circuit.step_down()

    async def _pass(self, task: Task) -> bool:
        self._stalled.add(task)
        try:
            return await self._dispatcher.circuit.passage()
        finally:
            self._stalled.discard(task)

    async def _secrets_of(self, spec: StageSpec) -> dict[str, str]:
        if not spec.secrets:
            return {}
        if self._secrets is None:
            raise FlowdaptError("this engine has no secrets", fix="run the workflow on a daemon")
        return dict(await self._secrets.get_many(spec.secrets))


def _refusal(error: FlowdaptError, stage: str) -> ErrorInfo:
    message = f"{error.message}; {error.fix}" if error.fix else error.message
    return ErrorInfo(f"flowdapt.{type(error).__name__}", message, stage=stage, retryable=False)


def _timeout(stage: str, limit_s: float) -> ErrorInfo:
    return ErrorInfo(TIMEOUT, f"stopped after its timeout of {limit_s:g} s", stage=stage)
