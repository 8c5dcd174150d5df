"""The SQL store and the memory store answer alike, whatever is asked of them in whatever order."""

from __future__ import annotations

import tempfile
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import trio
import trio.lowlevel

from flowdapt.domain.errors import FlowdaptError
from flowdapt.domain.records import NewRun, RunChange
from flowdapt.domain.run import RunState, StageState
from flowdapt.domain.task import MetricPoint
from flowdapt.ports.store import LoadedRun, RunFilter, Store
from flowdapt.stores.memory import MemoryStore
from flowdapt.stores.sql import SqlStore
from flowdapt.stores.sqlite_base import SqliteBase
from flowdapt.testing.store_records import new_run, patch_of, progress, write_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
OWNERS = ["me", "you"]
WORKFLOWS = ["a", "b"]


class StandingClock:
    """Time stands still, so that both stores write the same instants."""

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        await trio.lowlevel.checkpoint()


which = st.integers(0, 7)
submits = st.fixed_dictionaries(
    {
        "workflow": st.sampled_from(WORKFLOWS),
        "owner": st.none() | st.sampled_from(OWNERS),
        "key": st.none() | st.sampled_from(["k1", "k2"]),
        "body": st.sampled_from(["x", "y"]),
        "limit": st.none() | st.tuples(st.integers(1, 2), st.sampled_from(["queue", "skip", "replace"])),
        "priority": st.integers(-1, 1),
        "max_queued": st.sampled_from([3, 10_000, 10_000]),
        "created_at": st.sampled_from([NOW - timedelta(days=40), NOW]),
    }
)  # fmt: skip
operations = st.one_of(
    st.tuples(st.just("submit"), submits),
    st.tuples(st.just("claim"), st.sampled_from(OWNERS), st.integers(0, 3)),
    st.tuples(st.just("begin"), which, st.integers(0, 2)),
    st.tuples(st.just("progress"), which, st.integers(0, 2)),
    st.tuples(st.just("finish"), which, st.integers(0, 2)),
    st.tuples(st.just("cancel"), which),
    st.tuples(st.just("release"), st.sampled_from(OWNERS)),
    st.tuples(st.just("reclaim"), st.sampled_from(OWNERS), st.sampled_from(OWNERS)),
    st.tuples(st.just("delete"), which),
    st.tuples(st.just("expire"), st.integers(0, 2)),
    st.tuples(st.just("metric"), which, st.integers(1, 3)),
    st.tuples(st.just("apply"), st.sampled_from("uvw"), st.integers(0, 2), st.none() | st.integers(0, 2)),
    st.tuples(st.just("drop"), st.sampled_from("uvw")),
)  # fmt: skip


class World:
    """The runs submitted so far, and what an owner would send for them."""

    def __init__(self) -> None:
        self.made: list[NewRun] = []

    def prepare(self, operation: tuple[Any, ...]) -> Any:
        """Return the call that both stores get."""
        kind, *rest = operation
        return getattr(self, f"_{kind}")(*rest)

    def _uid(self, at: int) -> str:
        return self.made[at % len(self.made)].run.uid if self.made else "0" * 32

    def _submit(self, given: dict[str, Any]) -> Any:
        started = given["created_at"] if given["owner"] else None
        new = new_run(**given, uid=f"{len(self.made):032}", started_at=started)
        self.made.append(new)
        return lambda store: store.submit(deepcopy(new))

    def _claim(self, owner: str, limit: int) -> Any:
        return lambda store: store.claim(owner, limit=limit)

    def _change(self, at: int, epoch: int, make: Any) -> Any:
        async def call(store: Store) -> object:
            loaded = await store.load_run(self._uid(at))
            loaded.run.epoch = epoch
            await store.commit(make(loaded))
            return None

        return call

    def _begin(self, at: int, epoch: int) -> Any:
        def make(loaded: LoadedRun) -> RunChange:
            running = replace(loaded.stages[0], state=StageState.RUNNING, attempt=1)
            return RunChange(loaded.run.uid, epoch, stages=[running])

        return self._change(at, epoch, make)

    def _progress(self, at: int, epoch: int) -> Any:
        return self._change(at, epoch, lambda loaded: still(progress(loaded.run, loaded.stages[0])))

    def _finish(self, at: int, epoch: int) -> Any:
        def make(loaded: LoadedRun) -> RunChange:
            change = still(progress(loaded.run, loaded.stages[1]))
            ended = (loaded.run.started_at or loaded.run.created_at) + timedelta(seconds=1)
            change.run = patch_of(loaded.run, RunState.FINISHED, finished_at=ended)
            return change

        return self._change(at, epoch, make)

    def _cancel(self, at: int) -> Any:
        return lambda store: store.request_cancel(self._uid(at), "user")

    def _release(self, owner: str) -> Any:
        return lambda store: store.release(owner)

    def _reclaim(self, owner: str, dead: str) -> Any:
        return lambda store: store.reclaim(owner, dead=[dead])

    def _delete(self, at: int) -> Any:
        return lambda store: store.delete_run(self._uid(at))

    def _expire(self, keep: int) -> Any:
        edge = NOW - timedelta(days=30)
        return lambda store: store.delete_expired(older_than=edge, keep_per_workflow=keep, limit=2)

    def _metric(self, at: int, step: int) -> Any:
        points = [("a", MetricPoint("loss", step / 2, step, 0.0))]
        return lambda store: store.add_metrics(self._uid(at), points)

    def _apply(self, name: str, value: int, revision: int | None) -> Any:
        return lambda store: store.apply([write_of(name, {"n": value}, if_revision=revision)])

    def _drop(self, name: str) -> Any:
        return lambda store: store.delete_resource("workflow", name)


def still(change: RunChange) -> RunChange:
    """Return the change with the instants of a clock that stands."""
    change.stages = [replace(s, started_at=NOW, finished_at=NOW) for s in change.stages]
    change.tasks = [replace(task, started_at=NOW, finished_at=NOW) for task in change.tasks]
    return change


async def answer(store: Store, call: Any) -> object:
    try:
        return await call(store)
    except FlowdaptError as error:
        return type(error), error.message


async def contents(store: Store) -> dict[str, object]:
    """Return everything that a store holds, but for what it makes up itself."""
    runs = [run async for run in pages(store)]
    events = await store.list_events()
    resources = (await store.list_resources("workflow")).items
    return {
        "runs": runs,
        "loaded": [await store.load_run(run.uid) for run in runs],
        "metrics": [await store.get_metrics(run.uid) for run in runs],
        "events": [event.model_copy(update={"id": ""}) for event in events],
        "resources": [(r.metadata.name, r.metadata.revision, r.spec) for r in resources],
        "counts": dict(await store.count_runs()),
        "dead": sorted(await store.dead_owners(lease_s=0, but="me")),
    }


async def pages(store: Store) -> Any:
    cursor = None
    while True:
        page = await store.list_runs(RunFilter(), cursor=cursor, limit=3)
        for run in page.items:
            yield run
        if (cursor := page.next) is None:
            return


async def compare(operations: list[tuple[Any, ...]], place: Path) -> None:
    clock, world = StandingClock(), World()
    memory, sql = MemoryStore(clock), SqlStore(SqliteBase(place / "flowdapt.db", clock))
    await sql.open()
    try:
        for operation in operations:
            call = world.prepare(operation)
            assert await answer(sql, call) == await answer(memory, call), operation
        assert await contents(sql) == await contents(memory)
        assert [line for line in await sql.check() if not owes_to_its_owner(line)] == []
    finally:
        await sql.close()


def owes_to_its_owner(line: str) -> bool:
    """Stages and terminal events are what the model's careless owners write."""
    return "stage" in line or line.endswith("terminal event")


openings = st.lists(st.tuples(st.just("submit"), submits), min_size=3, max_size=8)


# A failing history is long whatever one does: shrinking it takes minutes and tells little more.
@hypothesis.settings(max_examples=60, phases=[hypothesis.Phase.reuse, hypothesis.Phase.generate])
@hypothesis.given(openings, st.lists(operations, min_size=8, max_size=40))
def test_two_stores_answer_alike(first: list[tuple[Any, ...]], then: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as place:
        trio.run(compare, first + then, Path(place))
