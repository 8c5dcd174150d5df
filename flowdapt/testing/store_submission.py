"""State what a submission and a cancel must do to a store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import pytest
import trio

from flowdapt.domain.errors import KeyReused, NotFound, QueueFull, StaleEpoch
from flowdapt.domain.events import WORKFLOW_FINISHED
from flowdapt.domain.records import ItemRecord, NewRun, Submission
from flowdapt.domain.run import RunState, StageState
from flowdapt.ports.store import Store
from flowdapt.testing.store_records import ended_task, finish, inline, new_run, progress

__all__ = ["OpensStore", "SubmissionContract"]


class OpensStore(ABC):
    """What a test of a store stands on."""

    pytestmark = pytest.mark.trio

    @abstractmethod
    def opened(self) -> AbstractAsyncContextManager[Store]:
        """Open an empty store, and close it."""


async def _submit_all(store: Store, runs: list[NewRun]) -> list[Submission]:
    answers: list[Submission] = []

    async def submit(new: NewRun) -> None:
        answers.append(await store.submit(new))

    async with trio.open_nursery() as nursery:
        for new in runs:
            nursery.start_soon(submit, new)
    return answers


class SubmissionContract(OpensStore):
    """`submit`, `request_cancel`."""

    async def test_a_submission_is_stored_whole(self) -> None:
        async with self.opened() as store:
            new = new_run(labels={"team": "sea"}, priority=3, namespace="lab", timeout_s=1.5)
            answer = await store.submit(new)
            loaded = await store.load_run(new.run.uid)
            events = await store.list_events(run=new.run.uid)
        assert answer.created
        assert answer.run.number > 0
        assert loaded.run == answer.run
        assert loaded.run == replace(new.run, number=answer.run.number, next_seq=2)
        assert loaded.stages == new.stages == answer.stages
        assert [(event.seq, event.subject) for event in events] == [(1, new.events[0].subject)]

    async def test_what_is_submitted_may_be_changed_by_the_caller_later(self) -> None:
        async with self.opened() as store:
            new = new_run(labels={"a": "b"})
            await store.submit(new)
            new.run.labels["a"] = "changed"
            new.stages[0].attempt = 9
            loaded = await store.load_run(new.run.uid)
        assert loaded.run.labels == {"a": "b"}
        assert loaded.stages[0].attempt == 0

    async def test_numbers_rise_with_submissions(self) -> None:
        async with self.opened() as store:
            numbers = [(await store.submit(new_run())).run.number for _ in range(3)]
        assert numbers == sorted(set(numbers))

    async def test_the_same_key_and_body_name_the_old_run(self) -> None:
        async with self.opened() as store:
            first = await store.submit(new_run(key="k"))
            again = await store.submit(new_run(key="k"))
            page = await store.list_events()
        assert not again.created
        assert again.run == first.run
        assert again.stages == first.stages
        assert len(page) == 1

    async def test_a_key_still_names_a_run_that_has_ended(self) -> None:
        async with self.opened() as store:
            first = await store.submit(new_run(key="k", owner="me"))
            await finish(store, first.run, first.stages)
            again = await store.submit(new_run(key="k"))
        assert (again.created, again.run.state) == (False, RunState.FINISHED)

    async def test_the_same_key_with_another_body_is_refused(self) -> None:
        async with self.opened() as store:
            await store.submit(new_run(key="k"))
            with pytest.raises(KeyReused):
                await store.submit(new_run(key="k", body="other"))

    async def test_a_key_belongs_to_its_workflow(self) -> None:
        async with self.opened() as store:
            await store.submit(new_run("one", key="k"))
            assert (await store.submit(new_run("two", key="k", body="other"))).created

    async def test_many_submissions_with_one_key_at_once_make_one_run(self) -> None:
        async with self.opened() as store:
            answers = await _submit_all(store, [new_run(key="k") for _ in range(20)])
            runs = await store.count_runs()
        assert sum(answer.created for answer in answers) == 1
        assert len({answer.run.uid for answer in answers}) == 1
        assert sum(runs.values()) == 1

    async def test_a_full_queue_refuses_and_stores_nothing(self) -> None:
        async with self.opened() as store:
            await store.submit(new_run(max_queued=2))
            await store.submit(new_run(max_queued=2))
            with pytest.raises(QueueFull):
                await store.submit(new_run(max_queued=2))
            assert await store.count_runs() == {"queued": 2}
            await store.claim("me", limit=1)
            assert (await store.submit(new_run(max_queued=2))).created

    async def test_a_run_submitted_with_its_owner_is_not_queued(self) -> None:
        async with self.opened() as store:
            answer = await store.submit(new_run(owner="me", max_queued=0))
            assert await store.claim("other", limit=10) == []
        assert (answer.run.owner, answer.run.epoch) == ("me", 1)

    async def test_a_run_over_the_limit_waits_without_an_owner(self) -> None:
        async with self.opened() as store:
            await store.submit(new_run(owner="me", limit=(1, "queue")))
            second = await store.submit(new_run(owner="me", limit=(1, "queue")))
            events = await store.list_events(run=second.run.uid)
        assert second.run.state is RunState.QUEUED
        assert (second.run.owner, second.run.started_at) == (None, None)
        assert [event.type.rpartition("_")[2] for event in events] == ["queued"]

    async def test_a_run_over_the_limit_is_skipped_visibly(self) -> None:
        async with self.opened() as store:
            await store.submit(new_run(owner="me", limit=(1, "skip")))
            second = await store.submit(new_run(owner="me", limit=(1, "skip")))
            loaded = await store.load_run(second.run.uid)
            events = await store.list_events(run=second.run.uid, types=[WORKFLOW_FINISHED])
        assert loaded.run == second.run
        assert (loaded.run.state, loaded.run.reason) == (RunState.CANCELLED, "skipped")
        assert loaded.run.finished_at is not None
        assert {stage.state for stage in loaded.stages} == {StageState.CANCELLED}
        assert len(events) == 1

    async def test_a_run_over_the_limit_replaces_the_open_ones(self) -> None:
        async with self.opened() as store:
            limit = (2, "replace")
            running = (await store.submit(new_run(owner="me", limit=limit))).run
            queued = (await store.submit(new_run(limit=limit))).run
            third = (await store.submit(new_run(owner="me", limit=limit))).run
            running, queued = await store.get_run(running.uid), await store.get_run(queued.uid)
        assert third.state is RunState.QUEUED
        assert (running.state, running.cancel_reason) == (RunState.RUNNING, "replaced")
        assert (queued.state, queued.reason) == (RunState.CANCELLED, "replaced")

    async def test_the_limit_of_one_workflow_is_not_that_of_another(self) -> None:
        async with self.opened() as store:
            await store.submit(new_run("one", owner="me", limit=(1, "skip")))
            other = await store.submit(new_run("two", owner="me", limit=(1, "skip")))
        assert other.run.state is RunState.RUNNING

    async def test_what_a_retry_takes_over_is_stored_with_it(self) -> None:
        async with self.opened() as store:
            new = new_run(owner="me", parent="p" * 32)
            new.tasks = [ended_task("a", 0, 5), ended_task("a", 5, 9)]
            new.items = [ItemRecord("a", 7, "retrying", 1)]
            await store.submit(new)
            loaded = await store.load_run(new.run.uid)
        assert loaded.tasks == new.tasks
        assert loaded.items == new.items
        assert loaded.run.parent == "p" * 32

    async def test_texts_and_values_come_back_as_they_were(self) -> None:
        async with self.opened() as store:
            text = '{"note":"Ünïcødé 漢字 \\u0000 % ? :x","n":' + "1" * 100_000 + "}"
            new = new_run(definition=text, config=text, input=inline({"x": "y" * 60_000}))
            await store.submit(new)
            run = await store.get_run(new.run.uid)
        assert (run.definition, run.config, run.input) == (text, text, new.run.input)

    async def test_a_cancel_ends_a_queued_run_at_once(self) -> None:
        async with self.opened() as store:
            new = await store.submit(new_run())
            answer = await store.request_cancel(new.run.uid, "user")
            loaded = await store.load_run(new.run.uid)
            events = await store.list_events(run=new.run.uid)
        assert loaded.run == answer
        assert (answer.state, answer.reason) == (RunState.CANCELLED, "user")
        assert answer.finished_at is not None
        assert answer.finished_at >= answer.created_at
        assert {stage.state for stage in loaded.stages} == {StageState.CANCELLED}
        assert [event.seq for event in events] == [1, 2]
        assert events[-1].type == WORKFLOW_FINISHED
        assert events[-1].data["state"] == "cancelled"

    async def test_a_cancel_of_a_running_run_is_noted_once(self) -> None:
        async with self.opened() as store:
            new = await store.submit(new_run(owner="me"))
            first = await store.request_cancel(new.run.uid, "user")
            second = await store.request_cancel(new.run.uid, "other")
            await store.commit(progress(new.run, new.stages[0]))
        assert first == second
        assert (first.state, first.cancel_reason) == (RunState.RUNNING, "user")
        assert first.cancel_requested_at is not None

    async def test_a_cancel_leaves_a_terminal_run_as_it_is(self) -> None:
        async with self.opened() as store:
            new = await store.submit(new_run(owner="me"))
            await finish(store, new.run, new.stages)
            before = await store.get_run(new.run.uid)
            assert await store.request_cancel(new.run.uid, "user") == before

    async def test_a_cancel_of_an_unknown_run_is_refused(self) -> None:
        async with self.opened() as store:
            with pytest.raises(NotFound):
                await store.request_cancel("0" * 32, "user")

    async def test_a_run_cancelled_in_the_queue_is_not_claimed(self) -> None:
        async with self.opened() as store:
            new = await store.submit(new_run())
            await store.request_cancel(new.run.uid, "user")
            assert await store.claim("me", limit=5) == []
            with pytest.raises(StaleEpoch):
                await store.commit(progress(new.run, new.stages[0]))
