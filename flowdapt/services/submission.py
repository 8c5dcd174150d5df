"""Make and store new runs, from a workflow or from an earlier run, and hand them to compute.

When a compute service lives in the same process (`Engine`), a run is stored already claimed and handed
over, which saves a transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from flowdapt.domain import facts
from flowdapt.domain.errors import InvalidInput, Problem
from flowdapt.domain.names import new_run_name, new_uid
from flowdapt.domain.records import NewRun, RunRecord, StageRecord, Submission
from flowdapt.domain.resource import canonical, digest_of
from flowdapt.domain.run import RetryRequest, RunRequest, RunState
from flowdapt.domain.schema import check_input
from flowdapt.domain.task import INLINE_MAX_BYTES, ValueRef
from flowdapt.domain.workflow import WorkflowSpec
from flowdapt.failpoints import failpoint
from flowdapt.ports.broker import RUN_CANCEL, RUN_READY, Broker, Message
from flowdapt.ports.clock import Clock
from flowdapt.ports.engine import Engine
from flowdapt.ports.store import LoadedRun, RunFilter, Store
from flowdapt.ports.values import ValueStore
from flowdapt.services.catalog import CompiledWorkflow
from flowdapt.services.heritage import inherit
from flowdapt.services.profiles import no_executor

if TYPE_CHECKING:
    from flowdapt.services.pool import ExecutorPool

__all__ = ["Submitter", "refuse_bad_input"]


def refuse_bad_input(workflow: str, problems: Sequence[Problem]) -> None:
    """Raise InvalidInput when an input does not fit the workflow's schema."""
    if problems:
        raise InvalidInput(
            f"the input does not fit the input_schema of workflow {workflow!r}",
            code="run.invalid_input",
            problems=problems,
            fix=f"flowdapt describe workflow {workflow}  shows what it takes",
        )


class Submitter:
    """Turns requests into stored runs."""

    def __init__(
        self,
        *,
        store: Store,
        broker: Broker,
        values: ValueStore,
        clock: Clock,
        engine: Engine | None,
        executors: ExecutorPool,
        max_queued: int,
    ) -> None:
        self._executors = executors
        self._store = store
        self._broker = broker
        self._values = values
        self._clock = clock
        self._engine = engine
        self._max_queued = max_queued

    async def new_run(
        self,
        compiled: CompiledWorkflow,
        request: RunRequest,
        key: str | None,
        source: str,
        *,
        rule: str | None = None,
        depth: int = 0,
    ) -> NewRun:
        """Return a run of the workflow, not stored yet. `rule` is the trigger rule that starts it."""
        spec = compiled.spec
        uid = new_uid()
        executor = await self._executor(request.executor)
        run = RunRecord(
            uid=uid,
            name=new_run_name(uid),
            workflow=compiled.name,
            revision=compiled.revision,
            state=RunState.QUEUED,
            source=source,
            namespace=request.namespace,
            executor=executor,
            definition=compiled.definition,
            config=compiled.config,
            input=await self._input_value(uid, request.input),
            created_at=self._clock.now(),
            priority=spec.priority if request.priority is None else request.priority,
            labels=dict(request.labels),
            idempotency_key=key,
            body_digest=digest_of(canonical(request.model_dump(mode="json"))) if key else None,
            causation_depth=depth,
            trigger_rule=rule,
            timeout_s=spec.timeout if request.timeout is None else request.timeout,
        )
        return self._ready_to_store(run, spec, _pending_stages(spec))

    async def _executor(self, asked: str | None) -> str:
        if asked is None:
            return self._executors.active
        if not await self._executors.exists(asked):
            raise no_executor(asked, self._executors.names())
        return asked

    async def _input_value(self, uid: str, value: dict[str, object]) -> ValueRef:
        data = msgspec.json.encode(value)
        inline = ValueRef(kind="inline", data=data, size_bytes=len(data))
        if len(data) <= INLINE_MAX_BYTES:
            return inline
        # Every call of the run carries its input: a large one goes by file.
        return await self._values.spill(uid, "input", inline)

    def _ready_to_store(
        self, run: RunRecord, spec: WorkflowSpec, stages: list[StageRecord]
    ) -> NewRun:
        limit = spec.concurrency
        if limit is None and self._engine is not None and self._engine.admits(run.executor):
            run.owner, run.epoch = self._engine.owner, 1
            run.state, run.started_at = RunState.RUNNING, run.created_at
            first = facts.run_started(run)
        else:
            first = facts.run_queued(run)
        run.next_seq = 2
        return NewRun(
            run,
            stages,
            [first],
            max_queued=self._max_queued,
            max_runs=limit.max_runs if limit else None,
            when_full=limit.when_full if limit else "queue",
        )

    async def new_retry(self, parent: LoadedRun, request: RetryRequest, key: str | None) -> NewRun:
        """Return a run that takes over from the parent what it need not do again."""
        spec = WorkflowSpec.model_validate_json(parent.run.definition)
        if request.input is not None and spec.input_schema is not None:
            refuse_bad_input(parent.run.workflow, check_input(spec.input_schema, request.input))
        uid = new_uid()
        failpoint("retry.before_inherit")
        kept = await inherit(uid, parent, spec, request, self._values)
        run = await self._retried(uid, parent.run, request, key)
        new = self._ready_to_store(run, spec, kept.stages)
        new.tasks, new.items = kept.tasks, kept.items
        return new

    async def _retried(
        self, uid: str, parent: RunRecord, request: RetryRequest, key: str | None
    ) -> RunRecord:
        if request.input is not None:
            value = await self._input_value(uid, request.input)
        else:
            value = (await self._values.adopt(uid, [parent.input]))[0]
        body = canonical({"parent": parent.uid, **request.model_dump(mode="json")})
        return RunRecord(
            uid=uid,
            name=new_run_name(uid),
            workflow=parent.workflow,
            revision=parent.revision,
            state=RunState.QUEUED,
            source="retry",
            namespace=parent.namespace,
            executor=await self._executor(request.executor or parent.executor),
            definition=parent.definition,
            config=parent.config,
            input=value,
            created_at=self._clock.now(),
            priority=parent.priority,
            labels=dict(parent.labels if request.labels is None else request.labels),
            experiment=parent.experiment,
            trial=parent.trial,
            parent=parent.uid,
            idempotency_key=key,
            body_digest=digest_of(body) if key else None,
            causation_depth=parent.causation_depth,
            timeout_s=parent.timeout_s,
        )

    async def store(self, new: NewRun) -> Submission:
        """Store the run and wake who drives it. Raise KeyReused, QueueFull."""
        failpoint("submit.before_store")
        submission = await self._store.submit(new)
        failpoint("submit.after_store")
        await self.announce(submission, new)
        return submission

    async def announce(self, submission: Submission, new: NewRun) -> None:
        """Wake who drives a run that was stored."""
        if submission.created and not submission.run.state.terminal:
            owned = submission.run.owner is not None
            value = (
                LoadedRun(submission.run, submission.stages, new.tasks, new.items)
                if owned
                else None
            )
            self._broker.publish(Message(RUN_READY, new.run.uid, value))
        if submission.created and new.when_full == "replace" and new.max_runs is not None:
            await self._wake_replaced(new.run.workflow)

    async def _wake_replaced(self, workflow: str) -> None:
        states = frozenset({RunState.RUNNING.value, RunState.CANCELLING.value})
        page = await self._store.list_runs(RunFilter(states=states, workflow=workflow), limit=500)
        for run in page.items:
            if run.cancel_requested_at is not None:
                self._broker.publish(Message(RUN_CANCEL, run.uid, run.cancel_reason or "replaced"))


def _pending_stages(spec: WorkflowSpec) -> list[StageRecord]:
    return [StageRecord(stage.name, at, stage.type) for at, stage in enumerate(spec.stages)]
