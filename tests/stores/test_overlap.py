"""Whatever comes in whatever order, with the store closed and opened in between, the overlap policy holds."""

from __future__ import annotations

import secrets
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import trio

from flowdapt.domain.errors import StaleRule
from flowdapt.domain.fire import FireState, NewFire, Overlap
from flowdapt.domain.resource import Metadata, Resource
from flowdapt.ports.store import ResourceWrite, RunFilter, Store
from flowdapt.services.clock import SystemClock
from flowdapt.stores.memory import MemoryStore
from flowdapt.stores.sql import SqlStore
from flowdapt.stores.sqlite_base import SqliteBase
from flowdapt.testing.store_records import finish, new_run

RULE = "rule"
T0 = datetime(2026, 1, 1, tzinfo=UTC)
OPEN = frozenset({"queued", "running", "cancelling"})

operations = st.one_of(
    st.tuples(st.just("fire"), st.integers(0, 30), st.integers(1, 2)),
    st.tuples(st.just("event"), st.integers(0, 5), st.just(1)),
    st.tuples(st.just("finish"), st.integers(0, 3), st.just(0)),
    st.tuples(st.just("start_waiting"), st.just(0), st.just(0)),
    st.tuples(st.just("edit"), st.just(0), st.just(0)),
    st.tuples(st.just("pause"), st.just(0), st.just(0)),
    st.tuples(st.just("resume"), st.just(0), st.just(0)),
    st.tuples(st.just("restart"), st.just(0), st.just(0)),
)


class House:
    """One rule on one store; `revision` and `generation` are what a trigger service would know."""

    def __init__(self, store: Store, overlap: Overlap, path: Path | None) -> None:
        self.store = store
        self.overlap = overlap
        self.path = path
        self.revision = 0

    async def edit(self, *_: int) -> None:
        self.revision += 1
        spec = {
            "type": "schedule",
            "rule": ["* * * * *"],
            "overlap": self.overlap.value,
            "description": str(self.revision),
        }
        resource = Resource(kind="trigger_rule", metadata=Metadata(name=RULE), spec=spec)
        await self.store.apply([ResourceWrite(resource)])
        await self.store.begin_generation(RULE, signature="s", not_before=T0)

    def _new(self, runs: int, **fields: Any) -> NewFire:
        new = NewFire(RULE, self.revision, 1, fields.pop("kind", "schedule"), overlap=self.overlap)
        new.runs = [new_run(trigger_rule=RULE) for _ in range(runs)]
        for name, value in fields.items():
            setattr(new, name, value)
        return new

    async def _try(self, new: NewFire) -> None:
        try:
            await self.store.fire(new)
        except StaleRule:
            states = await self.store.list_rule_states()
            assert states[RULE].paused_at is not None

    async def fire(self, minute: int, runs: int) -> None:
        slot = T0 + timedelta(minutes=minute)
        await self._try(self._new(runs, scheduled_at=slot, evaluated_to=slot))

    async def event(self, number: int, runs: int) -> None:
        await self._try(self._new(runs, kind="condition", event_id=f"e{number}"))

    async def finish(self, which: int, _: int) -> None:
        await self.store.claim("me", limit=100)
        page = await self.store.list_runs(RunFilter(states=OPEN), limit=100)
        if page.items:
            loaded = await self.store.load_run(page.items[which % len(page.items)].uid)
            await finish(self.store, loaded.run, loaded.stages)

    async def start_waiting(self, *_: int) -> None:
        for waits in await self.store.waiting_fires():
            fields = {"scheduled_at": waits.scheduled_at, "event_id": waits.event_id}
            await self._try(self._new(1, kind=waits.kind, waiting=waits.number, **fields))

    async def pause(self, *_: int) -> None:
        await self.store.pause_rule(RULE, reason="user")

    async def resume(self, *_: int) -> None:
        await self.store.resume_rule(RULE)

    async def restart(self, *_: int) -> None:
        if self.path is not None:
            await self.store.close()
            self.store = opened(self.path)
            await self.store.open()

    async def check(self) -> None:
        """Hold the rows against the policy."""
        fires = (await self.store.list_fires(limit=500)).items
        runs = (await self.store.list_runs(RunFilter(), limit=500)).items
        still_open = {run.uid for run in runs if run.state.value in OPEN}
        busy = [fire for fire in fires if still_open & set(fire.runs)]
        waiting = [fire for fire in fires if fire.state is FireState.WAITING]
        if self.overlap in (Overlap.FORBID, Overlap.QUEUE_ONE):
            assert len(busy) <= 1, "two fires of the rule are at work"
        assert len(waiting) <= (1 if self.overlap is Overlap.QUEUE_ONE else 0)
        if self.overlap is Overlap.REPLACE:
            newest = max((fire.number for fire in busy), default=0)
            kept = [run for run in runs if run.uid in still_open and not run.cancel_requested_at]
            owners = {fire.number for fire in fires for run in kept if run.uid in fire.runs}
            assert owners <= {newest}, "an older run was not asked to end"
        assert sorted(uid for fire in fires for uid in fire.runs) == sorted(run.uid for run in runs)
        slots = [(fire.generation, fire.scheduled_at) for fire in fires if fire.scheduled_at]
        events = [fire.event_id for fire in fires if fire.event_id]
        assert len(slots) == len(set(slots))
        assert len(events) == len(set(events))


def opened(path: Path) -> SqlStore:
    return SqlStore(SqliteBase(path, SystemClock()))


async def play(house: House, steps: list[tuple[str, int, int]]) -> None:
    await house.store.open()
    await house.edit()
    for name, first, second in steps:
        await getattr(house, name)(first, second)
        await house.check()
    assert await house.store.check() == []
    await house.store.close()


@hypothesis.given(
    overlap=st.sampled_from(list(Overlap)), steps=st.lists(operations, min_size=5, max_size=40)
)
@hypothesis.settings(max_examples=150, deadline=None)
def test_the_policy_holds_in_memory(overlap: Overlap, steps: list[tuple[str, int, int]]) -> None:
    trio.run(play, House(MemoryStore(SystemClock()), overlap, None), steps)


@hypothesis.given(
    overlap=st.sampled_from(list(Overlap)), steps=st.lists(operations, min_size=5, max_size=40)
)
@hypothesis.settings(max_examples=25, deadline=None)
def test_the_policy_holds_over_restarts(
    overlap: Overlap, steps: list[tuple[str, int, int]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / secrets.token_hex(4)
        trio.run(play, House(opened(path), overlap, path), steps)
