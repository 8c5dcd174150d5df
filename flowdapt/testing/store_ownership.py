"""State what claims and commits must do to a store."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio

from flowdapt.domain import facts
from flowdapt.domain.errors import Conflict, StaleEpoch
from flowdapt.domain.events import WORKFLOW_STARTED
from flowdapt.domain.records import ItemRecord, RunChange, RunRecord
from flowdapt.domain.run import RunState, StageState
from flowdapt.domain.task import ErrorInfo, MetricPoint
from flowdapt.ports.store import Store
from flowdapt.testing.store_records import (
    ended_task,
    finish,
    finished_stage,
    inline,
    new_run,
    patch_of,
    progress,
)
from flowdapt.testing.store_submission import OpensStore

__all__ = ["OwnershipContract"]


class OwnershipContract(OpensStore):
    """`claim`, `reclaim`, `release`, `commit`."""

    async def test_a_claim_starts_queued_runs(self) -> None:
        async with self.opened() as store:
            new = await store.submit(new_run())
            (claimed,) = await store.claim("me", limit=5)
            loaded = await store.load_run(new.run.uid)
            events = await store.list_events(run=new.run.uid, types=[WORKFLOW_STARTED])
        assert loaded == claimed
        run = claimed.run
        assert (run.state, run.owner, run.epoch) == (RunState.RUNNING, "me", 1)
        assert run.started_at is not None
        assert run.started_at >= run.created_at
        assert [event.seq for event in events] == [2]
        assert run.next_seq == 3

    async def test_claims_go_by_priority_then_by_number(self) -> None:
        async with self.opened() as store:
            for name, priority in [("a", 0), ("b", 5), ("c", 0), ("d", 5)]:
                await store.submit(new_run(name, priority=priority))
            first = await store.claim("me", limit=3)
            second = await store.claim("me", limit=3)
        assert [loaded.run.workflow for loaded in first] == ["b", "d", "a"]
        assert [loaded.run.workflow for loaded in second] == ["c"]

    async def test_no_run_is_claimed_twice(self) -> None:
        async with self.opened() as store:
            for _ in range(12):
                await store.submit(new_run())
            claimed: list[str] = []

            async def claim(owner: str) -> None:
                claimed.extend(run.run.uid for run in await store.claim(owner, limit=5))

            async with trio.open_nursery() as nursery:
                for at in range(4):
                    nursery.start_soon(claim, f"owner-{at}")
        assert len(claimed) == len(set(claimed)) == 12

    async def test_a_claim_keeps_to_the_limit_of_a_workflow(self) -> None:
        async with self.opened() as store:
            for _ in range(3):
                await store.submit(new_run("narrow", limit=(2, "queue"), priority=9))
            wide = await store.submit(new_run("wide"))
            first = await store.claim("me", limit=10)
            assert await store.claim("me", limit=10) == []
            done = first[0]
            await finish(store, done.run, done.stages)
            (last,) = await store.claim("me", limit=10)
        assert [loaded.run.workflow for loaded in first] == ["narrow", "narrow", "wide"]
        assert first[2].run.uid == wide.run.uid
        assert last.run.workflow == "narrow"

    async def test_a_limit_counts_runs_that_have_none_themselves(self) -> None:
        async with self.opened() as store:
            await store.submit(new_run(owner="me"))
            await store.submit(new_run(priority=1))
            await store.submit(new_run(limit=(2, "queue")))
            (claimed,) = await store.claim("me", limit=10)
        assert claimed.run.priority == 1

    async def test_release_lets_go_and_a_claim_takes_up(self) -> None:
        async with self.opened() as store:
            new = await store.submit(new_run(owner="me"))
            running = replace(new.stages[0], state=StageState.RUNNING, attempt=1)
            await store.commit(RunChange(new.run.uid, 1, stages=[running]))
            kept = await store.submit(new_run(owner="other"))
            assert await store.release("me") == 1
            loaded = await store.load_run(new.run.uid)
            (claimed,) = await store.claim("next", limit=5)
            with pytest.raises(StaleEpoch):
                await store.commit(RunChange(new.run.uid, 1, stages=[running]))
        assert (loaded.run.owner, loaded.run.state) == (None, RunState.RUNNING)
        assert loaded.stages[0].state is StageState.PENDING
        assert (claimed.run.uid, claimed.run.owner, claimed.run.epoch) == (new.run.uid, "next", 2)
        assert claimed.run.started_at == new.run.started_at
        assert kept.run.uid != new.run.uid

    async def test_reclaim_takes_over_the_runs_of_the_dead(self) -> None:
        async with self.opened() as store:
            new = await store.submit(new_run(owner="dead"))
            running = replace(new.stages[0], state=StageState.RUNNING, attempt=1)
            await store.commit(RunChange(new.run.uid, 1, stages=[running]))
            await store.submit(new_run(owner="alive"))
            (taken,) = await store.reclaim("me", dead=["dead", "unknown"])
            with pytest.raises(StaleEpoch):
                await store.commit(progress(new.run, new.stages[0]))
        assert (taken.run.uid, taken.run.owner, taken.run.epoch) == (new.run.uid, "me", 2)
        assert taken.stages[0] == running

    async def test_a_commit_writes_everything_it_carries(self) -> None:
        async with self.opened() as store:
            new = await store.submit(new_run(owner="me"))
            change = progress(new.run, new.stages[0], {"rows": 3})
            change.items = [ItemRecord("b", 4, "failed", 2, 1, None, ErrorInfo("E", "no"))]
            change.metrics = [("a", MetricPoint("loss", 0.5, 1, 10.0))]
            await store.commit(change)
            loaded = await store.load_run(new.run.uid)
            series = await store.get_metrics(new.run.uid)
        assert loaded.stages == [change.stages[0], new.stages[1]]
        assert loaded.tasks == change.tasks
        assert loaded.items == change.items
        assert loaded.run.next_seq == 3
        assert series[0].points == [(1, 0.5, 10.0)]

    async def test_a_later_item_record_replaces_the_earlier(self) -> None:
        async with self.opened() as store:
            run = (await store.submit(new_run(owner="me"))).run
            for state, attempt in [("retrying", 1), ("finished", 2)]:
                item = ItemRecord("a", 3, state, attempt)
                await store.commit(RunChange(run.uid, 1, items=[item]))
            assert (await store.load_run(run.uid)).items == [ItemRecord("a", 3, "finished", 2)]

    async def test_attempts_are_kept_apart(self) -> None:
        async with self.opened() as store:
            run = (await store.submit(new_run(owner="me"))).run
            lost = ended_task("a", state="lost", value=None, error=ErrorInfo("L", "killed"))
            for task in (lost, lost, ended_task("a"), ended_task("a", attempt=2)):
                await store.commit(RunChange(run.uid, 1, tasks=[task]))
            tasks = (await store.load_run(run.uid)).tasks
        assert [(task.attempt, task.state) for task in tasks] == [
            (1, "finished"),
            (1, "lost"),
            (2, "finished"),
        ]
        assert tasks[1].error == ErrorInfo("L", "killed")

    async def test_the_end_of_a_run_is_final(self) -> None:
        async with self.opened() as store:
            new = await store.submit(new_run(owner="me"))
            change = await finish(store, new.run, new.stages, result=inline(7), partial=True)
            run = await store.get_run(new.run.uid)
            with pytest.raises(StaleEpoch):
                await store.commit(progress(new.run, new.stages[0]))
            assert await store.get_run(new.run.uid) == run
        assert change.run is not None
        assert (run.state, run.owner, run.partial) == (RunState.FINISHED, None, True)
        assert (run.result, run.finished_at) == (inline(7), change.run.finished_at)

    async def test_an_owner_may_let_go_with_a_commit(self) -> None:
        async with self.opened() as store:
            new = await store.submit(new_run(owner="me"))
            patch = patch_of(new.run, RunState.RUNNING, release_owner=True)
            await store.commit(RunChange(new.run.uid, 1, run=patch))
            (claimed,) = await store.claim("me", limit=1)
        assert claimed.run.epoch == 2

    async def test_a_stale_commit_changes_nothing(self) -> None:
        async with self.opened() as store:
            new = await store.submit(new_run(owner="me"))
            before = await store.load_run(new.run.uid)
            change = progress(new.run, new.stages[0])
            change.epoch = 7
            with pytest.raises(StaleEpoch):
                await store.commit(change)
            assert await store.load_run(new.run.uid) == before
            with pytest.raises(StaleEpoch):
                await store.commit(RunChange("0" * 32, 1, stages=[new.stages[0]]))

    async def test_an_event_out_of_turn_is_refused(self) -> None:
        async with self.opened() as store:
            new = await store.submit(new_run(owner="me"))
            change = progress(new.run, new.stages[0])
            change.first_seq += 1
            with pytest.raises(Conflict):
                await store.commit(change)
            assert (await store.load_run(new.run.uid)).stages == new.stages

    async def test_a_stale_member_does_not_spoil_its_group(self) -> None:
        async with self.opened() as store:
            runs = [await store.submit(new_run(owner="me")) for _ in range(20)]
            refused: list[int] = []

            async def commit(at: int) -> None:
                change = progress(runs[at].run, runs[at].stages[0], at)
                change.epoch = 1 if at % 3 else 2
                try:
                    await store.commit(change)
                except StaleEpoch:
                    refused.append(at)

            async with trio.open_nursery() as nursery:
                for at in range(20):
                    nursery.start_soon(commit, at)
            states = [(await store.list_stages(run.run.uid))[0].state for run in runs]
        assert sorted(refused) == [at for at in range(20) if at % 3 == 0]
        done = [at for at, state in enumerate(states) if state is StageState.FINISHED]
        assert done == [at for at in range(20) if at % 3]

    async def test_commits_of_a_run_take_effect_in_the_order_of_the_calls(self) -> None:
        async with self.opened() as store:
            new = await store.submit(new_run(owner="me"))
            await _commit_in_order(store, new.run, 40)
            events = await store.list_events(run=new.run.uid)
            run = await store.get_run(new.run.uid)
        assert [event.seq for event in events] == list(range(1, 42))
        assert [event.data["n"] for event in events[1:]] == list(range(40))
        assert run.next_seq == 42

    async def test_cursors_follow_the_order_of_commits(self) -> None:
        async with self.opened() as store:
            for _ in range(3):
                new = await store.submit(new_run(owner="me"))
                await finish(store, new.run, new.stages)
            events = await store.list_events()
            rest = await store.list_events(after=events[2].cursor, limit=2)
        assert [e.cursor for e in events] == sorted({e.cursor for e in events})
        assert len({event.id for event in events}) == len(events) == 6
        assert rest == events[3:5]

    async def test_a_commit_that_is_cancelled_while_it_waits_is_whole_or_not_there(self) -> None:
        async with self.opened() as store:
            new = await store.submit(new_run(owner="me"))
            with trio.CancelScope() as scope:
                scope.cancel()
                await store.commit(progress(new.run, new.stages[0]))
            loaded = await store.load_run(new.run.uid)
            stages = [finished_stage(stage) for stage in loaded.stages]
            await store.commit(RunChange(new.run.uid, 1, stages=stages))
        assert (loaded.run.next_seq, len(loaded.tasks)) in {(2, 0), (3, 1)}


async def _commit_in_order(store: Store, run: RunRecord, times: int) -> None:
    """Begin each commit right after the one before was begun, without waiting for its end."""
    gates = [trio.Event() for _ in range(times + 1)]
    gates[0].set()

    async def commit(at: int) -> None:
        await gates[at].wait()
        event = replace(facts.run_started(run), type="test.step", data=f'{{"n":{at}}}')
        change = RunChange(run.uid, run.epoch, events=[event], first_seq=run.next_seq + at)
        gates[at + 1].set()
        await store.commit(change)

    async with trio.open_nursery() as nursery:
        for at in range(times):
            nursery.start_soon(commit, at)
