"""State what resources, metrics, events and heartbeats must do to a store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flowdapt.domain.errors import InvalidInput, NotFound, StaleRevision
from flowdapt.domain.events import RESOURCE_APPLIED, RESOURCE_DELETED, EventDraft
from flowdapt.domain.task import MetricPoint
from flowdapt.testing.store_records import new_run, write_of
from flowdapt.testing.store_submission import OpensStore

__all__ = ["JournalContract", "ResourceContract"]


class ResourceContract(OpensStore):
    """`apply`, `get_resource`, `list_resources`, `list_revisions`, `delete_resource`."""

    async def test_a_document_is_created_then_updated_then_unchanged(self) -> None:
        async with self.opened() as store:
            actions = []
            for spec in ({"n": 1, "b": [1.5, None]}, {"n": 2}, {"n": 2}):
                (applied,) = await store.apply([write_of("w", spec)])
                actions.append((applied.action, applied.revision, applied.diff))
            now = await store.get_resource("workflow", "w")
            first = await store.get_resource("workflow", "w", revision=1)
            events = await store.list_events(types=[RESOURCE_APPLIED])
        assert actions == [("created", 1, ""), ("updated", 2, ""), ("unchanged", 2, "")]
        assert (now.spec, now.metadata.revision) == ({"n": 2}, 2)
        assert (first.spec, first.metadata.revision) == ({"n": 1, "b": [1.5, None]}, 1)
        assert now.metadata.uid == first.metadata.uid
        assert now.metadata.created_at == first.metadata.created_at
        assert [event.data["action"] for event in events] == ["created", "updated"]
        assert [event.subject for event in events] == ["workflow/w"] * 2

    async def test_the_order_of_keys_makes_no_revision_but_annotations_do(self) -> None:
        async with self.opened() as store:
            await store.apply([write_of("w", {"a": 1, "b": 2})])
            (same,) = await store.apply([write_of("w", {"b": 2, "a": 1})])
            (other,) = await store.apply([write_of("w", {"a": 1, "b": 2}, annotations={"x": "y"})])
            found = await store.get_resource("workflow", "w")
        assert (same.action, other.action) == ("unchanged", "updated")
        assert found.metadata.annotations == {"x": "y"}

    async def test_all_or_none_are_stored(self) -> None:
        async with self.opened() as store:
            await store.apply([write_of("old", {"n": 1})])
            writes = [write_of("new", {"n": 1}), write_of("old", {"n": 2}, if_revision=7)]
            with pytest.raises(StaleRevision):
                await store.apply(writes)
            assert await store.find_resource("workflow", "new") is None
            assert len(await store.list_events()) == 1

    async def test_a_dry_run_answers_the_same_and_stores_nothing(self) -> None:
        async with self.opened() as store:
            writes = [write_of("w", {"n": 1}), write_of("w", {"n": 2})]
            dry = await store.apply(writes, dry_run=True)
            assert await store.find_resource("workflow", "w") is None
            assert await store.list_events() == []
            assert await store.apply(writes) == dry
        assert [(applied.action, applied.revision) for applied in dry] == [
            ("created", 1),
            ("updated", 2),
        ]

    async def test_a_precondition_must_hold(self) -> None:
        async with self.opened() as store:
            await store.apply([write_of("w", {"n": 1}, if_revision=0)])
            with pytest.raises(StaleRevision):
                await store.apply([write_of("w", {"n": 2}, if_revision=0)])
            await store.apply([write_of("w", {"n": 2}, if_revision=1)])
            with pytest.raises(StaleRevision):
                await store.apply([write_of("w", {"n": 3}, if_revision=1)])
            with pytest.raises(StaleRevision):
                await store.delete_resource("workflow", "w", if_revision=1)
            assert (await store.get_resource("workflow", "w")).spec == {"n": 2}

    async def test_kinds_have_names_of_their_own(self) -> None:
        async with self.opened() as store:
            await store.apply([write_of("x", {"n": 1}), write_of("x", {"n": 2}, kind="config")])
            assert (await store.get_resource("config", "x")).spec == {"n": 2}
            await store.delete_resource("config", "x")
            assert (await store.get_resource("workflow", "x")).spec == {"n": 1}

    async def test_what_is_missing_is_not_found(self) -> None:
        async with self.opened() as store:
            await store.apply([write_of("w", {})])
            with pytest.raises(NotFound):
                await store.get_resource("workflow", "other")
            with pytest.raises(NotFound):
                await store.get_resource("workflow", "w", revision=2)
            with pytest.raises(NotFound):
                await store.list_revisions("workflow", "other")
            with pytest.raises(NotFound):
                await store.delete_resource("workflow", "other")

    async def test_a_deleted_resource_begins_anew(self) -> None:
        async with self.opened() as store:
            await store.apply([write_of("w", {"n": 1})])
            await store.apply([write_of("w", {"n": 2})])
            old = await store.get_resource("workflow", "w")
            gone = await store.delete_resource("workflow", "w", if_revision=2)
            (again,) = await store.apply([write_of("w", {"n": 1})])
            new = await store.get_resource("workflow", "w")
            events = await store.list_events(types=[RESOURCE_DELETED])
        assert (gone.action, gone.revision) == ("deleted", 2)
        assert (again.action, again.revision) == ("created", 1)
        assert new.metadata.uid != old.metadata.uid
        assert len(events) == 1

    async def test_resources_are_listed_by_name(self) -> None:
        async with self.opened() as store:
            names = ["b", "A", "a-1", "c", "Z9"]
            writes = [
                write_of(name, {"n": name}, annotations={"half": str(at % 2), "at": at})
                for at, name in enumerate(names)
            ]
            await store.apply([*writes, write_of("aa", {}, kind="config")])
            first = await store.list_resources("workflow", limit=2)
            rest = await store.list_resources("workflow", cursor=first.next, limit=10)
            odd = await store.list_resources("workflow", annotations={"half": "1"})
            third = await store.list_resources("workflow", annotations={"at": "3"})
            some = await store.list_resources("workflow", q="-")
        listed = [resource.metadata.name for resource in first.items + rest.items]
        assert listed == sorted(names)
        assert rest.next is None
        assert [resource.metadata.name for resource in odd.items] == ["A", "c"]
        assert [resource.metadata.name for resource in third.items] == ["c"]
        assert [resource.spec for resource in some.items] == [{"n": "a-1"}]

    async def test_revisions_are_listed_newest_first(self) -> None:
        async with self.opened() as store:
            for n in range(5):
                await store.apply([write_of("w", {"n": n})])
            first = await store.list_revisions("workflow", "w", limit=2)
            rest = await store.list_revisions("workflow", "w", cursor=first.next, limit=9)
        found = [(item.metadata.revision, item.spec["n"]) for item in first.items + rest.items]
        assert found == [(5, 4), (4, 3), (3, 2), (2, 1), (1, 0)]

    async def test_a_cursor_of_another_list_is_refused(self) -> None:
        async with self.opened() as store:
            await store.apply([write_of(name, {}) for name in "abc"])
            cursor = (await store.list_resources("workflow", limit=1)).next
            with pytest.raises(InvalidInput):
                await store.list_resources("config", cursor=cursor)


class JournalContract(OpensStore):
    """Metrics, events, heartbeats, `info`, `check`."""

    async def test_metrics_are_series_by_step_and_the_later_point_wins(self) -> None:
        async with self.opened() as store:
            uid = (await store.submit(new_run(owner="me"))).run.uid
            await store.add_metrics(uid, [("a", MetricPoint("loss", 9.0, 2, 1.0))])
            points = [("a", MetricPoint("loss", 0.5 / step, step, 2.0)) for step in (3, 2, 1)]
            others = [
                ("b", MetricPoint("loss", 1.0, 1, 1.0, index=1)),
                ("b", MetricPoint("loss", 2.0, 1, 1.0, index=0)),
                ("b", MetricPoint("loss", 3.0, 1, 1.0, index=0)),
                ("b", MetricPoint("acc", 4.0, 1, 1.0)),
            ]
            await store.add_metrics(uid, points + others)
            every = await store.get_metrics(uid)
            of_a = await store.get_metrics(uid, stage="a")
            acc = await store.get_metrics(uid, name="acc")
            with pytest.raises(NotFound):
                await store.add_metrics("0" * 32, points)
        assert of_a[0].points == [(1, 0.5, 2.0), (2, 0.25, 2.0), (3, 0.5 / 3, 2.0)]
        assert [(s.stage, s.name, s.index) for s in every] == [
            ("a", "loss", None),
            ("b", "acc", None),
            ("b", "loss", 0),
            ("b", "loss", 1),
        ]
        assert every[2].points == [(1, 3.0, 1.0)]
        assert acc == [every[1]]

    async def test_an_event_of_its_own_is_numbered_and_kept(self) -> None:
        async with self.opened() as store:
            draft = EventDraft("my.event", "me", '{"x":[1,"é"]}', "test", "c", 3)
            event = await store.add_event(draft)
            await store.add_event(EventDraft("other", "me", "null"))
            assert await store.list_events(types=["my.event", "none"]) == [event]
            assert await store.list_events(after=event.cursor, types=["my.event"]) == []
        assert (event.type, event.subject, event.source) == ("my.event", "me", "test")
        assert (event.data, event.run, event.seq) == ({"x": [1, "é"]}, None, None)
        assert (event.correlation_id, event.causation_depth) == ("c", 3)
        assert abs(event.time - datetime.now(UTC)) < timedelta(minutes=5)

    @pytest.mark.parametrize(
        ("chosen", "found"),
        [
            ({"types": ["a.*"]}, ["a.b", "a.b.c"]),
            ({"types": ["*.c", "other"]}, ["a.b.c", "other"]),
            ({"types": ["a_b"]}, []),
            ({"types": ["a*_*"]}, []),
            ({"types": ["A.*"]}, []),
            ({"subject": "run/"}, ["a.b.c", "other"]),
            ({"subject": "run/%"}, []),
            ({"newest": True, "limit": 2}, ["a.b.c", "other"]),
            ({"newest": True, "types": ["a.*"], "limit": 1}, ["a.b.c"]),
            ({"workflow": "no such"}, []),
            ({"since": datetime(2100, 1, 1, tzinfo=UTC)}, []),
            ({"since": datetime(2001, 1, 1, tzinfo=UTC)}, ["a.b", "a.b.c", "other"]),
        ],
        ids=str,
    )
    async def test_events_are_chosen(self, chosen: dict[str, Any], found: list[str]) -> None:
        async with self.opened() as store:
            for kind, subject in (("a.b", "x"), ("a.b.c", "run/1"), ("other", "run/2")):
                await store.add_event(EventDraft(kind, subject, "1"))
            assert [event.type for event in await store.list_events(**chosen)] == found

    async def test_events_of_a_workflow_are_those_of_its_runs(self) -> None:
        async with self.opened() as store:
            new = await store.submit(new_run(owner="me"))
            await store.add_event(EventDraft("own", "x", '{"workflow":"flow"}'))
            events = await store.list_events(workflow=new.run.workflow, newest=True)
            run = await store.list_events(run=new.run.uid, newest=True)
        assert events == run
        assert {event.run for event in events} == {new.run.uid}

    async def test_old_events_of_no_run_are_forgotten(self) -> None:
        async with self.opened() as store:
            kept = await store.submit(new_run(owner="me"))
            await store.add_event(EventDraft("old", "me", "1"))
            later = datetime.now(UTC) + timedelta(days=1)
            await store.delete_expired(older_than=later, keep_per_workflow=0, limit=5)
            events = await store.list_events()
        assert [event.run for event in events] == [kept.run.uid]

    async def test_owners_that_do_not_beat_are_dead(self) -> None:
        async with self.opened() as store:
            for owner in ("me", "beating", "silent"):
                await store.submit(new_run(owner=owner))
            await store.beat("beating", {"pid": 1})
            await store.beat("without runs", {})
            assert await store.dead_owners(lease_s=60.0, but="me") == ["silent"]
            alone = await store.dead_owners(lease_s=0.0, but="me")
        assert sorted(alone) == ["beating", "silent"]

    async def test_a_store_knows_itself(self) -> None:
        async with self.opened() as store:
            await store.submit(new_run())
            info = await store.info()
            again = await store.info()
        assert info.url
        assert info.schema
        assert info.incarnation == again.incarnation != ""
        assert info.runs == {"queued": 1}

    async def test_a_store_knows_its_size(self) -> None:
        async with self.opened() as store:
            in_memory = (await store.info()).url.startswith("memory:")
            assert (await store.size_bytes() > 0) is not in_memory

    async def test_a_healthy_store_passes_its_check(self) -> None:
        async with self.opened() as store:
            await store.submit(new_run(owner="me"))
            queued = await store.submit(new_run())
            await store.request_cancel(queued.run.uid, "user")
            assert await store.check() == []
