"""State what finding, listing, counting and deleting runs must do to a store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flowdapt.domain.errors import Conflict, InvalidInput, NotFound, RunNotTerminal
from flowdapt.domain.events import WORKFLOW_DELETED
from flowdapt.domain.records import ItemRecord, RunChange
from flowdapt.domain.run import RunState
from flowdapt.ports.store import RunFilter, Store
from flowdapt.testing.store_records import ended_task, finish, inline, new_run, patch_of
from flowdapt.testing.store_submission import OpensStore

__all__ = ["ListingContract"]


async def _walk(store: Store, where: RunFilter, limit: int) -> list[str]:
    """Return the uids of every page."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = await store.list_runs(where, cursor=cursor, limit=limit)
        found += [run.uid for run in page.items]
        cursor = page.next
        if cursor is None:
            return found


async def _submit(store: Store, count: int, **columns: Any) -> list[str]:
    return [(await store.submit(new_run(**columns))).run.uid for _ in range(count)]


class ListingContract(OpensStore):
    """`get_run`, `list_*`, `count_runs`, `delete_run`, `delete_expired`."""

    async def test_a_run_is_found_by_uid_name_and_prefix(self) -> None:
        async with self.opened() as store:
            run = (await store.submit(new_run(uid="abcdef0123456789", name="shy-crow-1"))).run
            await store.submit(new_run(uid="abcxxx0123456789", name="shy-cow-2"))
            for ident in ("abcdef0123456789", "shy-crow-1", "abcdef", "shy-cr"):
                assert await store.get_run(ident) == run
            for ident in ("abc", "shy-c", "nothing", "ABCDEF", ""):
                with pytest.raises(NotFound) as caught:
                    await store.get_run(ident)
                # Who typed the first word of a name learns why that was not enough.
                assert ("from 6 characters on" in str(caught.value.fix)) == (len(ident) < 6)

    async def test_a_prefix_of_several_runs_is_a_conflict(self) -> None:
        async with self.opened() as store:
            await store.submit(new_run(uid="abcdef01", name="one"))
            await store.submit(new_run(uid="abcdef02", name="two"))
            with pytest.raises(Conflict):
                await store.get_run("abcdef")
            assert (await store.get_run("abcdef02")).name == "two"

    async def test_runs_are_listed_newest_first_and_light(self) -> None:
        async with self.opened() as store:
            uids = await _submit(store, 3, labels={"a": "b"})
            page = await store.list_runs(RunFilter())
        assert [run.uid for run in page.items] == uids[::-1]
        assert page.next is None
        first = page.items[0]
        assert (first.definition, first.config, first.input.data) == ("", "", b"")
        assert first.labels == {"a": "b"}

    async def test_pages_stay_as_they_were_under_inserts(self) -> None:
        async with self.opened() as store:
            uids = await _submit(store, 7)
            first = await store.list_runs(RunFilter(), limit=3)
            await _submit(store, 4)
            second = await store.list_runs(RunFilter(), cursor=first.next, limit=3)
            third = await store.list_runs(RunFilter(), cursor=second.next, limit=3)
        pages = [run.uid for page in (first, second, third) for run in page.items]
        assert pages == uids[::-1]
        assert third.next is None

    @pytest.mark.parametrize("sort", ["created", "started", "finished", "duration"])
    async def test_every_sort_visits_every_run_once_in_both_directions(self, sort: str) -> None:
        async with self.opened() as store:
            uids = set(await _submit(store, 3))
            start = datetime(2026, 1, 1, tzinfo=UTC)
            for at in range(4):
                begun = start + timedelta(hours=at % 2)
                new = await store.submit(new_run(owner="me", created_at=start, started_at=begun))
                ends = start + timedelta(hours=2 + at % 3)
                await finish(store, new.run, new.stages, finished_at=ends)
                uids.add(new.run.uid)
            up = await _walk(store, RunFilter(sort=sort), 2)
            down = await _walk(store, RunFilter(sort=f"-{sort}"), 2)
            whole = await store.list_runs(RunFilter(sort=f"-{sort}"))
        assert up == down[::-1] == [run.uid for run in whole.items][::-1]
        assert set(up) == uids
        if sort != "created":
            assert [run.state for run in whole.items][4:] == [RunState.QUEUED] * 3

    async def test_runs_are_filtered_by_every_field(self) -> None:
        async with self.opened() as store:
            early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
            columns: dict[str, dict[str, Any]] = {
                "one": {"created_at": early, "labels": {"team": "sea", "x": "1"}},
                "two": {"created_at": late, "namespace": "lab", "labels": {"team": "air%_"}},
                "three": {
                    "created_at": late,
                    "parent": "p" * 32,
                    "name": "odd-name",
                    "trigger_rule": "r",
                },
            }
            uid = {
                name: (await store.submit(new_run(f"flow-{name}", **given))).run.uid
                for name, given in columns.items()
            }
            await store.request_cancel(uid["one"], "user")
            cases: list[tuple[RunFilter, list[str]]] = [
                (RunFilter(workflow="flow-two"), ["two"]),
                (RunFilter(states=frozenset({"cancelled"})), ["one"]),
                (RunFilter(states=frozenset({"cancelled", "queued"})), ["three", "two", "one"]),
                (RunFilter(namespace="lab"), ["two"]),
                (RunFilter(parent="p" * 32), ["three"]),
                (RunFilter(trigger="r"), ["three"]),
                (RunFilter(trigger="r", states=frozenset({"failed"})), []),
                (RunFilter(since=late), ["three", "two"]),
                (RunFilter(until=late), ["one"]),
                (RunFilter(labels={"team": "sea"}), ["one"]),
                (RunFilter(labels={"team": "sea", "x": "1"}), ["one"]),
                (RunFilter(labels={"team": "sea", "x": "2"}), []),
                (RunFilter(labels={"team": "air%_"}), ["two"]),
                (RunFilter(labels={"team": "a%"}), []),
                (RunFilter(q="odd-n"), ["three"]),
                (RunFilter(q="w-t"), ["three", "two"]),
                (RunFilter(q="W-T"), []),
                (RunFilter(q=uid["one"][:8]), ["one"]),
                (RunFilter(q="flow", namespace="lab", labels={"team": "air%_"}), ["two"]),
            ]
            for where, names in cases:
                page = await store.list_runs(where)
                assert [run.uid for run in page.items] == [uid[name] for name in names], where

    async def test_runs_that_have_ended_are_chosen_by_how_long_they_took(self) -> None:
        start, minute = datetime(2026, 1, 1, tzinfo=UTC), timedelta(minutes=1)
        async with self.opened() as store:
            await _submit(store, 1)
            uids = []
            for minutes in (1, 5, 9):
                new = await store.submit(new_run(owner="me", created_at=start, started_at=start))
                await finish(store, new.run, new.stages, finished_at=start + minutes * minute)
                uids.append(new.run.uid)
            longer = await store.list_runs(RunFilter(longer_s=300))
            shorter = await store.list_runs(RunFilter(shorter_s=300))
            both = await store.list_runs(RunFilter(longer_s=60, shorter_s=540, sort="duration"))
        found = [[run.uid for run in page.items] for page in (longer, shorter, both)]
        assert found == [[uids[2]], [uids[0]], [uids[1]]]

    async def test_a_foreign_cursor_and_an_unknown_sort_are_refused(self) -> None:
        async with self.opened() as store:
            await _submit(store, 3)
            cursor = (await store.list_runs(RunFilter(), limit=1)).next
            for bad in ("", "x", "!!", "bnVsbA", cursor):
                with pytest.raises(InvalidInput):
                    await store.list_runs(RunFilter(sort="started"), cursor=bad, limit=1)
            with pytest.raises(InvalidInput):
                await store.list_runs(RunFilter(sort="owner"))

    async def test_a_page_holds_at_least_one_and_at_most_500(self) -> None:
        async with self.opened() as store:
            new = new_run(owner="me")
            new.tasks = [ended_task("a", at, at + 1) for at in range(501)]
            await store.submit(new)
            page = await store.list_tasks(new.run.uid, "a", limit=10_000)
            least = await store.list_tasks(new.run.uid, "a", limit=-3)
        assert len(page.items) == 500
        assert page.next is not None
        assert len(least.items) == 1

    async def test_tasks_are_listed_by_start_and_attempt(self) -> None:
        async with self.opened() as store:
            new = new_run(owner="me")
            failed = ended_task("a", 0, 2, state="failed", value=None)
            again = ended_task("a", 0, 2, attempt=2)
            other, last = ended_task("b"), ended_task("a", 10, 12)
            new.tasks = [last, again, other, failed]
            await store.submit(new)
            first = await store.list_tasks(new.run.uid, "a", limit=2)
            rest = await store.list_tasks(new.run.uid, "a", cursor=first.next, limit=2)
            bad = await store.list_tasks(new.run.uid, "a", state="failed")
        assert first.items + rest.items == [failed, again, last]
        assert bad.items == [failed]

    async def test_items_are_listed_by_index(self) -> None:
        async with self.opened() as store:
            run = (await store.submit(new_run(owner="me"))).run
            items = [ItemRecord("a", at, "failed" if at % 2 else "finished", 1) for at in range(9)]
            await store.commit(RunChange(run.uid, 1, items=items[::-1]))
            first = await store.list_items(run.uid, "a", limit=5)
            rest = await store.list_items(run.uid, "a", cursor=first.next, limit=5)
            failed = await store.list_items(run.uid, "a", state="failed")
            with pytest.raises(NotFound):
                await store.list_items("0" * 32, "a")
        assert first.items + rest.items == items
        assert failed.items == items[1::2]

    async def test_open_runs_are_counted_by_state(self) -> None:
        async with self.opened() as store:
            await _submit(store, 2)
            new = await store.submit(new_run(owner="me"))
            patch = patch_of(new.run, RunState.CANCELLING, reason="user")
            await store.commit(RunChange(new.run.uid, 1, run=patch))
            done = await store.submit(new_run(owner="me"))
            await finish(store, done.run, done.stages)
            counts = await store.count_runs()
            runs = (await store.info()).runs
        assert counts == {"queued": 2, "cancelling": 1}
        assert runs == {"queued": 2, "cancelling": 1, "finished": 1}

    async def test_only_a_terminal_run_is_deleted_and_then_whole(self) -> None:
        async with self.opened() as store:
            new = await store.submit(new_run(owner="me", key="k"))
            with pytest.raises(RunNotTerminal):
                await store.delete_run(new.run.uid)
            await finish(store, new.run, new.stages, result=inline(1))
            await store.delete_run(new.run.uid)
            with pytest.raises(NotFound):
                await store.get_run(new.run.uid)
            with pytest.raises(NotFound):
                await store.delete_run(new.run.uid)
            told = await store.list_events()
            assert (await store.submit(new_run(key="k"))).created
        assert [(event.type, event.run, event.subject) for event in told] == [
            (WORKFLOW_DELETED, None, f"run/{new.run.uid}")
        ]

    async def test_retention_keeps_the_newest_and_the_open(self) -> None:
        async with self.opened() as store:
            past = datetime.now(UTC) - timedelta(days=40)
            old = [await _ended(store, "busy", past + timedelta(minutes=at)) for at in range(8)]
            rare = await _ended(store, "rare", past)
            open_run = (await store.submit(new_run("busy", owner="me", created_at=past))).run.uid
            fresh = await _ended(store, "busy", datetime.now(UTC))
            edge = datetime.now(UTC) - timedelta(days=30)

            async def sweep() -> list[str]:
                return await store.delete_expired(older_than=edge, keep_per_workflow=3, limit=4)

            batches = [await sweep(), await sweep(), await sweep()]
            left = {run.uid for run in (await store.list_runs(RunFilter())).items}
            told = await store.list_events(types=[WORKFLOW_DELETED])
        assert [(event.data["uid"], event.data["reason"]) for event in told] == [
            (uid, "retention") for uid in old[:7]
        ]
        assert batches == [old[:4], old[4:7], []]
        assert left == {old[7], rare, open_run, fresh}


async def _ended(store: Store, workflow: str, when: datetime) -> str:
    new = await store.submit(new_run(workflow, owner="me", created_at=when, started_at=when))
    await finish(store, new.run, new.stages, finished_at=when)
    return new.run.uid
