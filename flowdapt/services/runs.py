"""Serve everything a client may ask of runs: submit, look, wait, cancel, retry, explain, delete.

Answers from the store and drives nothing itself; making new runs is `submission.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

import trio

from flowdapt.domain.errors import Conflict, InvalidInput, NotFound, RunNotTerminal
from flowdapt.domain.events import WORKFLOW_DELETED
from flowdapt.domain.records import ItemRecord, NewRun, RunRecord, StageRecord, TaskRecord
from flowdapt.domain.run import Item, Reason, RetryRequest, Run, RunRequest
from flowdapt.domain.task import ValueRef
from flowdapt.failpoints import failpoint
from flowdapt.ports.broker import (
    EVENT_ADDED,
    RUN_CANCEL,
    RUN_ENDED,
    RUN_PROGRESS,
    Broker,
    Message,
)
from flowdapt.ports.clock import Clock
from flowdapt.ports.engine import Engine
from flowdapt.ports.logs import LogStore
from flowdapt.ports.store import Page, RunFilter, Store
from flowdapt.ports.values import ValueStore
from flowdapt.services.catalog import CompiledWorkflow
from flowdapt.services.causes import causes_of
from flowdapt.services.explain import explain
from flowdapt.services.submission import Submitter, refuse_bad_input
from flowdapt.services.views import item_views, run_view

if TYPE_CHECKING:
    from flowdapt.services.pool import ExecutorPool

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
        executors: ExecutorPool,
        max_queued: int = 10_000,
    ) -> None:
        self._store = store
        self._broker = broker
        self._values = values
        self._logs = logs
        self._clock = clock
        self._catalog = catalog
        self._engine = engine
        self._submitter = Submitter(
            store=store,
            broker=broker,
            values=values,
            clock=clock,
            engine=engine,
            executors=executors,
            max_queued=max_queued,
        )

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
        refuse_bad_input(workflow, compiled.check_input(request.input))
        new = await self._submitter.new_run(compiled, request, key, source)
        return await self._store_and_wait(new, wait_s)

    async def _store_and_wait(self, new: NewRun, wait_s: float) -> tuple[Run, bool]:
        if wait_s <= 0:
            submission = await self._submitter.store(new)
            return await self._view(submission.run, submission.stages), submission.created
        async with self._broker.subscribe(RUN_ENDED, key=new.run.uid, capacity=1) as ends:
            submission = await self._submitter.store(new)
            if submission.run.uid != new.run.uid:
                return await self.wait(submission.run.uid, timeout_s=wait_s), False
            if submission.run.state.terminal:
                return await self._view(submission.run, submission.stages), True
            return await self._await_end(new.run.uid, ends, wait_s), True

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
        stop = min(total, start + min(limit, 500))
        tasks = [
            task
            async for task in self._iter_tasks(run.uid, stage)
            if task.start < stop and start < task.stop
        ]
        records = [r async for r in self._iter_items(run.uid, stage, stop) if r.index >= start]
        views = item_views(total, tasks, records, start, stop)
        if state is not None:
            views = [view for view in views if view.state == state]
        return Page(views, str(stop) if stop < total else None)

    async def _kept_items(
        self, run: RunRecord, stage: str, state: str, cursor: str | None, limit: int
    ) -> Page[Item]:
        page = await self._store.list_items(run.uid, stage, state=state, cursor=cursor, limit=limit)
        views = [item_views(r.index + 1, (), [r], r.index, r.index + 1)[0] for r in page.items]
        return Page(views, page.next)

    async def _iter_items(self, uid: str, stage: str, stop: int) -> AsyncIterator[ItemRecord]:
        cursor = None
        while True:
            page = await self._store.list_items(uid, stage, cursor=cursor)
            for item in page.items:
                if item.index >= stop:
                    return
                yield item
            cursor = page.next
            if cursor is None:
                return

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
        """Say why the run and its stages are as they are, what to do, and what had started it."""
        run = await self._store.get_run(ident)
        stages = await self._store.list_stages(run.uid)
        live = self._engine.live(run.uid) if self._engine is not None else {}
        holds = self._engine.holds() if self._engine is not None else None
        reasons = explain(run, stages, live, self._clock.now(), holds=holds)
        return [*reasons, *await causes_of(self._store, run)]

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
                fix=f"flowdapt runs cancel {parent.run.name}",
            )
        return await self._store_and_wait(await self._submitter.new_retry(parent, request, key), 0)

    async def delete(self, ident: str) -> None:
        """Delete a terminal run whole: rows, logs, values. Raise RunNotTerminal."""
        run = await self._store.get_run(ident)
        failpoint("delete.before_store")
        await self._store.delete_run(run.uid)
        failpoint("delete.after_store")
        self._broker.publish(Message(EVENT_ADDED, WORKFLOW_DELETED))
        await self._logs.delete(run.uid)
        await self._values.delete_run(run.uid)


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
