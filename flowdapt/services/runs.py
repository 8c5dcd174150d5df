"""Serve everything a client may ask of runs: submit, look, wait, cancel, retry, explain, delete.

Answers from the store and drives nothing itself. When a compute service lives in the same process
(`Engine`), a submission is stored already claimed and handed over, which saves a transaction.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import msgspec
import trio

from flowdapt.domain import facts
from flowdapt.domain.errors import Conflict, InvalidInput, NotFound, RunNotTerminal
from flowdapt.domain.names import new_run_name, new_uid
from flowdapt.domain.resource import canonical, digest_of
from flowdapt.domain.run import (
    Item,
    NewRun,
    Reason,
    RetryRequest,
    Run,
    RunRecord,
    RunRequest,
    RunState,
    StageRecord,
    Submission,
    TaskRecord,
)
from flowdapt.domain.task import INLINE_MAX_BYTES, ValueRef
from flowdapt.domain.workflow import WorkflowSpec
from flowdapt.failpoints import failpoint
from flowdapt.ports.broker import RUN_CANCEL, RUN_ENDED, RUN_PROGRESS, RUN_READY, Broker, Message
from flowdapt.ports.clock import Clock
from flowdapt.ports.engine import Engine
from flowdapt.ports.logs import LogStore
from flowdapt.ports.store import LoadedRun, Page, RunFilter, Store
from flowdapt.ports.values import ValueStore
from flowdapt.services.catalog import CompiledWorkflow
from flowdapt.services.explain import explain
from flowdapt.services.heritage import inherit
from flowdapt.services.views import item_views, run_view

__all__ = ["Catalog", "Runs"]

_POLL_S = 5.0
_CURSOR_DIGITS = 12
_WATCH_S = 0.1
_RESULT_MAX_BYTES = 1024 * 1024
_INPUT_MAX_BYTES = 1024 * 1024


class Catalog(Protocol):
    """Where workflows come from."""

    async def compiled(self, workflow: str) -> CompiledWorkflow:
        """Return the current revision. Raise NotFound with a suggestion."""
        ...


class Runs:
    """The requests about runs."""

    def __init__(
        self,
        *,
        store: Store,
        broker: Broker,
        values: ValueStore,
        logs: LogStore,
        clock: Clock,
        catalog: Catalog,
        engine: Engine | None = None,
        default_executor: str = "local",
        max_queued: int = 10_000,
    ) -> None:
        self._store = store
        self._broker = broker
        self._values = values
        self._logs = logs
        self._clock = clock
        self._catalog = catalog
        self._engine = engine
        self.default_executor = default_executor
        self._max_queued = max_queued

    # -- submitting ----------------------------------------------------------------------------------

    async def submit(
        self,
        workflow: str,
        request: RunRequest,
        *,
        key: str | None = None,
        source: str = "api",
        wait_s: float = 0.0,
    ) -> tuple[Run, bool]:
        """Store a run durably; return it and whether it is new (False: the key named it).

        With `wait_s` (what `Prefer: wait=` asks) the answer comes when the run is terminal or that
        time is over: the hot path, with no second look-up.
        """
        compiled = await self._catalog.compiled(workflow)
        problems = compiled.check_input(request.input)
        if problems:
            raise InvalidInput(
                f"the input does not fit the input_schema of workflow {workflow!r}",
                code="run.invalid_input",
                problems=problems,
                fix=f"flowdapt describe workflow {workflow}  shows what it takes",
            )
        new = await self._new_run(compiled, request, key, source)
        return await self._store_and_wait(new, wait_s)

    async def _new_run(
        self, compiled: CompiledWorkflow, request: RunRequest, key: str | None, source: str
    ) -> NewRun:
        spec = compiled.spec
        uid = new_uid()
        run = RunRecord(
            uid=uid,
            name=new_run_name(uid),
            workflow=compiled.name,
            revision=compiled.revision,
            state=RunState.QUEUED,
            source=source,
            namespace=request.namespace,
            executor=request.executor or self.default_executor,
            definition=compiled.definition,
            config=compiled.config,
            input=await self._input_value(uid, request.input),
            created_at=self._clock.now(),
            priority=spec.priority if request.priority is None else request.priority,
            labels=dict(request.labels),
            idempotency_key=key,
            body_digest=digest_of(canonical(request.model_dump(mode="json"))) if key else None,
            timeout_s=spec.timeout if request.timeout is None else request.timeout,
        )
        return self._ready_to_store(run, spec, _pending_stages(spec))

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

    async def _store_and_wait(self, new: NewRun, wait_s: float) -> tuple[Run, bool]:
        if wait_s <= 0:
            submission = await self._store_and_hand_over(new)
            return await self._view(submission.run, submission.stages), submission.created
        async with self._broker.subscribe(RUN_ENDED, key=new.run.uid, capacity=1) as ends:
            submission = await self._store_and_hand_over(new)
            if submission.run.uid != new.run.uid:
                return await self.wait(submission.run.uid, timeout_s=wait_s), False
            if submission.run.state.terminal:
                return await self._view(submission.run, submission.stages), True
            return await self._await_end(new.run.uid, ends, wait_s), True

    async def _store_and_hand_over(self, new: NewRun) -> Submission:
        failpoint("submit.before_store")
        submission = await self._store.submit(new)
        failpoint("submit.after_store")
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
        return submission

    async def _wake_replaced(self, workflow: str) -> None:
        states = frozenset({RunState.RUNNING.value, RunState.CANCELLING.value})
        page = await self._store.list_runs(RunFilter(states=states, workflow=workflow), limit=500)
        for run in page.items:
            if run.cancel_requested_at is not None:
                self._broker.publish(Message(RUN_CANCEL, run.uid, run.cancel_reason or "replaced"))

    # -- looking -------------------------------------------------------------------------------------

    async def get(self, ident: str) -> Run:
        """Return the run with its stages, live item counts, and its result when small JSON."""
        run = await self._store.get_run(ident)
        return await self._view(run, await self._store.list_stages(run.uid))

    async def _view(self, run: RunRecord, stages: list[StageRecord]) -> Run:
        live = self._engine.live(run.uid) if self._engine is not None else None
        return run_view(
            run,
            stages,
            live=live,
            input_text=await self._small_text(run.input, _INPUT_MAX_BYTES),
            result_text=await self._small_text(run.result, _RESULT_MAX_BYTES),
            now=None if run.state.terminal else self._clock.now(),
        )

    async def _small_text(self, value: ValueRef | None, limit_bytes: int) -> bytes | None:
        if value is None:
            return None
        if value.kind == "inline" and value.codec == "json":
            return value.data
        try:
            return await self._values.json_text(value, limit_bytes=limit_bytes)
        except NotFound:
            return None

    async def list_(
        self, where: RunFilter, *, cursor: str | None = None, limit: int = 50
    ) -> Page[Run]:
        """List runs without stages, input and result."""
        page = await self._store.list_runs(where, cursor=cursor, limit=limit)
        now = self._clock.now()
        views = [run_view(run, now=None if run.state.terminal else now) for run in page.items]
        return Page(views, page.next)

    async def wait(self, ident: str, *, timeout_s: float) -> Run:
        """Return the run when it is terminal, or as it is when the time is over."""
        run = await self._store.get_run(ident)
        async with self._broker.subscribe(RUN_ENDED, key=run.uid, capacity=1) as ends:
            view = await self.get(run.uid)
            if view.state.terminal:
                return view
            return await self._await_end(run.uid, ends, timeout_s)

    async def _await_end(self, uid: str, ends: AsyncIterator[Message], timeout_s: float) -> Run:
        deadline = trio.current_time() + timeout_s
        while (left := deadline - trio.current_time()) > 0:
            with trio.move_on_after(min(left, _POLL_S)):
                value = (await anext(ends)).value
                # In one process the message brings the records along; else they are read.
                if isinstance(value, tuple):
                    return await self._view(*value)
            view = await self.get(uid)
            if view.state.terminal:
                return view
        return await self.get(uid)

    @asynccontextmanager
    async def watch(self, ident: str) -> AsyncIterator[AsyncIterator[Run]]:
        """Yield the run now and after each change (coalesced, <= 10 a second), ending with the terminal one."""
        uid = (await self._store.get_run(ident)).uid
        async with self._broker.subscribe(RUN_ENDED, RUN_PROGRESS, key=uid, capacity=1) as changes:
            yield self._snapshots(uid, changes)

    async def _snapshots(self, uid: str, changes: AsyncIterator[Message]) -> AsyncIterator[Run]:
        while True:
            view = await self.get(uid)
            yield view
            if view.state.terminal:
                return
            await trio.sleep(_WATCH_S)
            # Live counts change without a message: look at least once a second.
            with trio.move_on_after(1.0):
                await anext(changes)

    async def items(
        self,
        ident: str,
        stage: str,
        *,
        state: str | None = None,
        cursor: str | None = None,
        limit: int = 500,
    ) -> Page[Item]:
        """List the items of a mapped stage by index."""
        run, record = await self._stage_of(ident, stage)
        if state is not None and state not in ("finished", "pending"):
            return await self._kept_items(run, stage, state, cursor, limit)
        total = record.items_total or 0
        start = _index_cursor(cursor)
        tasks = [task async for task in self._iter_tasks(run.uid, stage)]
        records = (await self._store.list_items(run.uid, stage, limit=500)).items
        views = item_views(total, tasks, records, start, start + min(limit, 500))
        stop = start + len(views)
        if state is not None:
            views = [view for view in views if view.state == state]
        return Page(views, str(stop) if stop < total else None)

    async def _kept_items(
        self, run: RunRecord, stage: str, state: str, cursor: str | None, limit: int
    ) -> Page[Item]:
        page = await self._store.list_items(run.uid, stage, state=state, cursor=cursor, limit=limit)
        views = [item_views(r.index + 1, (), [r], r.index, r.index + 1)[0] for r in page.items]
        return Page(views, page.next)

    async def _iter_tasks(self, uid: str, stage: str) -> AsyncIterator[TaskRecord]:
        cursor = None
        while True:
            page = await self._store.list_tasks(uid, stage, state="finished", cursor=cursor)
            for task in page.items:
                yield task
            cursor = page.next
            if cursor is None:
                return

    async def _stage_of(self, ident: str, stage: str) -> tuple[RunRecord, StageRecord]:
        run = await self._store.get_run(ident)
        for record in await self._store.list_stages(run.uid):
            if record.name == stage:
                return run, record
        raise NotFound(
            f"run {run.name} has no stage {stage!r}",
            code="stage.not_found",
            fix=f"flowdapt runs show {run.name}",
        )

    async def result(self, ident: str) -> AsyncIterator[bytes]:
        """Return a stream of the JSON text of the result. Raise Conflict while open, InvalidInput when not JSON."""
        run = await self._store.get_run(ident)
        if not run.state.terminal:
            raise RunNotTerminal(
                f"run {run.name} is {run.state}", fix=f"flowdapt runs wait {run.name}"
            )
        if run.result is None:
            raise Conflict(
                f"run {run.name} {run.state} and has no result",
                code="run.no_result",
                fix=f"flowdapt runs show {run.name}",
            )
        return self._values.iter_json(run.result)

    async def explain(self, ident: str) -> list[Reason]:
        """Say why the run and its stages are as they are, and what to do."""
        run = await self._store.get_run(ident)
        stages = await self._store.list_stages(run.uid)
        live = self._engine.live(run.uid) if self._engine is not None else {}
        return explain(run, stages, live, self._clock.now())

    # -- changing ------------------------------------------------------------------------------------

    async def cancel(self, ident: str, *, reason: str = "user") -> Run:
        """Ask for the end of a run; idempotent, a terminal run is returned unchanged."""
        found = await self._store.get_run(ident)
        failpoint("cancel.before_store")
        run = await self._store.request_cancel(found.uid, reason)
        failpoint("cancel.after_store")
        topic = RUN_ENDED if run.state.terminal else RUN_CANCEL
        self._broker.publish(Message(topic, run.uid, reason if topic == RUN_CANCEL else None))
        return await self.get(run.uid)

    async def retry(
        self, ident: str, request: RetryRequest, *, key: str | None = None
    ) -> tuple[Run, bool]:
        """Store a new run whose parent is this (terminal) one."""
        parent = await self._store.load_run((await self._store.get_run(ident)).uid)
        if not parent.run.state.terminal:
            raise RunNotTerminal(
                f"run {parent.run.name} is {parent.run.state}",
                fix=f"flowdapt cancel {parent.run.name}",
            )
        spec = WorkflowSpec.model_validate_json(parent.run.definition)
        uid = new_uid()
        failpoint("retry.before_inherit")
        kept = await inherit(uid, parent, spec, request, self._values)
        run = await self._retried(uid, parent.run, request, key)
        new = self._ready_to_store(run, spec, kept.stages)
        new.tasks, new.items = kept.tasks, kept.items
        return await self._store_and_wait(new, 0.0)

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
            executor=request.executor or parent.executor,
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

    async def delete(self, ident: str) -> None:
        """Delete a terminal run whole: rows, logs, values. Raise RunNotTerminal."""
        run = await self._store.get_run(ident)
        failpoint("delete.before_store")
        await self._store.delete_run(run.uid)
        failpoint("delete.after_store")
        await self._logs.delete(run.uid)
        await self._values.delete_run(run.uid)


def _pending_stages(spec: WorkflowSpec) -> list[StageRecord]:
    return [StageRecord(stage.name, at, stage.type) for at, stage in enumerate(spec.stages)]


def _index_cursor(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not cursor.isdigit() or len(cursor) > _CURSOR_DIGITS:
        raise InvalidInput(
            "the cursor is not one of this list",
            code="cursor.invalid",
            fix="start without a cursor",
        )
    return int(cursor)
