"""Resources over a store: apply, races, prune, roll back, and workflows ready to run."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from flowdapt.domain.errors import InvalidDocument, InvalidInput, NotFound, StaleRevision
from flowdapt.domain.resource import Applied, Kind, Resource
from flowdapt.plugins.brokers.inprocess import InProcessBroker
from flowdapt.ports.broker import EVENT_ADDED
from flowdapt.ports.store import ResourceWrite
from flowdapt.services.resources import Resources
from flowdapt.stores.memory import MemoryStore
from flowdapt.testing import FakeClock

pytestmark = pytest.mark.trio


class BusyStore(MemoryStore):
    """A store in which somebody else may act right after a read; counts the reads."""

    def __init__(self) -> None:
        super().__init__(FakeClock())
        self.reads = 0
        self.after_read: list[Callable[[], Awaitable[object]]] = []

    async def find_resource(self, kind: Kind, name: str) -> Resource | None:
        self.reads += 1
        found = await super().find_resource(kind, name)
        if self.after_read:
            await self.after_read.pop(0)()
        return found


@pytest.fixture
def store() -> BusyStore:
    return BusyStore()


@pytest.fixture
def resources(store: BusyStore) -> Resources:
    return Resources(store=store, broker=InProcessBroker(), known_resources=["vllm"])


def workflow(name: str = "w", target: str = "a.b", **metadata: Any) -> dict[str, Any]:
    return {
        "kind": "workflow",
        "metadata": {"name": name, **metadata},
        "spec": {"stages": [{"name": "s", "target": target}]},
    }


def config(name: str, selector: Any, **data: Any) -> dict[str, Any]:
    spec = {"selector": selector, "data": data}
    return {"kind": "config", "metadata": {"name": name}, "spec": spec}


ALL = {"type": "all"}


async def stored(store: MemoryStore, kind: Kind = "workflow") -> dict[str, int | None]:
    page = await store.list_resources(kind)
    return {one.metadata.name: one.metadata.revision for one in page.items}


async def overwrite(store: MemoryStore, target: str) -> list[Applied]:
    """Write as another process would, past the service."""
    document = workflow(target=target)
    resource = Resource.model_validate(document)
    return await store.apply([ResourceWrite(resource)])


# -- apply --------------------------------------------------------------------------------------------


async def test_a_document_is_created_then_unchanged_then_updated(resources: Resources) -> None:
    (first,) = await resources.apply([workflow()])
    (second,) = await resources.apply([workflow()])
    (third,) = await resources.apply([workflow(target="a.c")])
    assert [(one.action, one.revision) for one in (first, second, third)] == [
        ("created", 1),
        ("unchanged", 1),
        ("updated", 2),
    ]
    assert "+kind: workflow" in first.diff
    assert second.diff == ""
    assert "-      target: a.b\n+      target: a.c\n" in third.diff


async def test_several_documents_of_a_text_are_stored_together(
    resources: Resources, store: BusyStore
) -> None:
    text = "\n---\n".join(json.dumps(one) for one in (workflow("a"), config("c", ALL)))
    applied = await resources.apply(text, source="all.yaml")
    assert [(one.kind, one.name) for one in applied] == [("workflow", "a"), ("config", "c")]
    assert (await stored(store), await stored(store, "config")) == ({"a": 1}, {"c": 1})


async def test_nothing_is_stored_when_one_document_is_wrong(
    resources: Resources, store: BusyStore
) -> None:
    with pytest.raises(InvalidDocument) as raised:
        await resources.apply([workflow("a"), workflow("b", "os system"), {"kind": "x"}])
    assert {problem.code for problem in raised.value.problems} == {
        "workflow.bad_target",
        "document.missing_field",
        "document.unknown_kind",
    }
    assert await stored(store) == {}


async def test_a_text_that_cannot_be_read_on_stores_nothing(
    resources: Resources, store: BusyStore
) -> None:
    with pytest.raises(InvalidDocument) as raised:
        await resources.apply(json.dumps(workflow()) + "\n---\n[", form="yaml", source="w.yaml")
    (problem,) = raised.value.problems
    assert (problem.code, problem.source, problem.line) == ("document.syntax", "w.yaml", 3)
    assert await stored(store) == {}


async def test_a_dry_run_says_and_changes_nothing(resources: Resources, store: BusyStore) -> None:
    (applied,) = await resources.apply([workflow()], dry_run=True)
    assert (applied.action, applied.revision) == ("created", 1)
    assert applied.diff
    assert await stored(store) == {}


async def test_a_large_text_is_read_in_a_thread_to_the_same_end(resources: Resources) -> None:
    document = workflow()
    document["spec"]["stages"] = [{"name": f"s{i}", "target": "a.b"} for i in range(1000)]
    (applied,) = await resources.apply(json.dumps(document))
    assert applied.action == "created"
    assert applied.diff.count("target: a.b") == 1000


async def test_targets_are_held_to_the_settings(store: BusyStore) -> None:
    resources = Resources(store=store, broker=InProcessBroker(), allowed_targets=["user_modules"])
    with pytest.raises(InvalidDocument, match="not among the allowed"):
        await resources.apply([workflow(target="os:system")])


async def test_what_nobody_offers_or_selects_is_warned_of(resources: Resources) -> None:
    document = workflow()
    document["spec"]["stages"][0]["resources"] = {"cpus": 1, "vllm": 1, "wheels": 2}
    by_name = config("c", {"type": "name", "value": "nobody"})
    first, second = await resources.apply([document, by_name])
    assert first.warnings == ("stage \"s\" asks for the resource 'wheels', which no executor has",)
    assert second.warnings == ("it selects the workflow 'nobody', which does not exist",)


async def test_a_change_is_announced_and_nothing_else_is(store: BusyStore) -> None:
    broker = InProcessBroker()
    resources = Resources(store=store, broker=broker)
    async with broker.subscribe(EVENT_ADDED) as messages:
        await resources.apply([workflow()], dry_run=True)
        await resources.apply([workflow()])
        await resources.apply([workflow()])
        await resources.delete("workflow", "w")
        keys = [(await anext(messages)).key for _ in range(2)]
        with trio.move_on_after(0.05) as scope:
            await anext(messages)
    assert keys == ["com.event.resource.applied", "com.event.resource.deleted"]
    assert scope.cancelled_caught


# -- preconditions and races ------------------------------------------------------------------------------


async def test_get_edit_apply_works_once(resources: Resources) -> None:
    await resources.apply([workflow()])
    got = (await resources.get("workflow", "w")).model_dump(mode="json", exclude_none=True)
    got["spec"]["stages"][0]["target"] = "a.c"
    (applied,) = await resources.apply([got])
    assert (applied.action, applied.revision) == ("updated", 2)
    with pytest.raises(StaleRevision, match="is at revision 2"):
        await resources.apply([got])


async def test_a_document_of_something_deleted_is_stale(resources: Resources) -> None:
    await resources.apply([workflow()])
    got = (await resources.get("workflow", "w")).model_dump(mode="json", exclude_none=True)
    await resources.delete("workflow", "w")
    with pytest.raises(StaleRevision, match="does not exist"):
        await resources.apply([got])


async def test_a_precondition_holds_for_one_document(resources: Resources) -> None:
    await resources.apply([workflow()], if_revision=0)
    with pytest.raises(StaleRevision):
        await resources.apply([workflow(target="a.c")], if_revision=0)
    (applied,) = await resources.apply([workflow(target="a.c")], if_revision=1)
    assert applied.revision == 2
    with pytest.raises(StaleRevision):
        await resources.delete("workflow", "w", if_revision=1)
    with pytest.raises(InvalidInput, match="one document"):
        await resources.apply([workflow("a"), workflow("b")], if_revision=0)


async def test_a_lost_race_is_run_again_on_what_is_there_now(
    resources: Resources, store: BusyStore
) -> None:
    await resources.apply([workflow()])
    store.after_read.append(lambda: overwrite(store, "x.y"))
    (applied,) = await resources.apply([workflow(target="a.c")])
    assert (applied.action, applied.revision) == ("updated", 3)
    assert "-      target: x.y" in applied.diff


async def test_a_race_lost_again_and_again_is_a_conflict_and_stores_nothing(
    resources: Resources, store: BusyStore
) -> None:
    await resources.apply([workflow()])
    for count in range(6):  # two reads in each of three tries
        store.after_read.append(lambda count=count: overwrite(store, f"x.y{count}"))
    with pytest.raises(StaleRevision):
        await resources.apply([workflow(target="a.c"), workflow("other")])
    assert await stored(store) == {"w": 7}


async def test_a_race_lost_with_a_precondition_is_a_conflict_at_once(
    resources: Resources, store: BusyStore
) -> None:
    await resources.apply([workflow()])
    store.after_read.append(lambda: overwrite(store, "x.y"))
    with pytest.raises(StaleRevision):
        await resources.apply([workflow(target="a.c")], if_revision=1)
    assert await stored(store) == {"w": 2}


# -- back, away --------------------------------------------------------------------------------------------


async def test_rolling_back_is_a_new_revision_with_the_old_content(resources: Resources) -> None:
    await resources.apply([workflow(annotations={"v": 1})])
    await resources.apply([workflow(target="a.c", annotations={"v": 2})])
    applied = await resources.rollback("workflow", "w", 1)
    assert (applied.action, applied.revision) == ("updated", 3)
    old, now = [await resources.get("workflow", "w", revision=r) for r in (1, 3)]
    assert (now.spec, now.metadata.annotations) == (old.spec, old.metadata.annotations)
    revisions = (await resources.revisions("workflow", "w")).items
    assert [one.metadata.revision for one in revisions] == [3, 2, 1]
    assert (await resources.rollback("workflow", "w", 3)).action == "unchanged"
    with pytest.raises(NotFound):
        await resources.rollback("workflow", "w", 9)


async def test_prune_deletes_what_carries_the_annotations_and_was_not_applied(
    resources: Resources, store: BusyStore
) -> None:
    mine = {"app": "x", "team": "y"}
    await resources.apply(
        [
            workflow("old", annotations=mine),
            workflow("kept", annotations=mine),
            workflow("other", annotations={"app": "x"}),
            workflow("bare"),
        ]
    )
    documents = [workflow("kept", annotations=mine), workflow("new", annotations=mine)]
    planned = await resources.apply(documents, prune=mine, dry_run=True)
    assert [(one.name, one.action) for one in planned] == [
        ("kept", "unchanged"),
        ("new", "created"),
        ("old", "deleted"),
    ]
    assert set(await stored(store)) == {"old", "kept", "other", "bare"}
    assert await resources.apply(documents, prune=mine) == planned
    assert set(await stored(store)) == {"new", "kept", "other", "bare"}


@pytest.mark.parametrize("kind", ["workflow", "config", "trigger_rule"])
async def test_what_is_missing_is_told_with_the_nearest_name(
    resources: Resources, kind: Kind
) -> None:
    await resources.apply([workflow("build_features")])
    with pytest.raises(NotFound, match=f"there is no {kind} 'build_feature'") as raised:
        await resources.get(kind, "build_feature")
    suggested = raised.value.fix == "did you mean 'build_features'?"
    assert suggested == (kind == "workflow")


# -- ready to run --------------------------------------------------------------------------------------------


async def test_a_workflow_is_compiled_once_and_found_fast(
    resources: Resources, store: BusyStore
) -> None:
    await resources.apply([workflow(), config("c", ALL, level=1)])
    first = await resources.compiled("w")
    assert (first.name, first.revision) == ("w", 1)
    assert first.definition == '{"stages":[{"name":"s","target":"a.b"}]}'
    assert (first.config, first.graph.order) == ('{"level":1}', ("s",))
    reads, began = store.reads, time.perf_counter()
    for _ in range(1000):
        assert await resources.compiled("w") is first
    assert store.reads == reads
    assert time.perf_counter() - began < 0.1  # 100 µs each


async def test_a_change_of_workflow_or_config_is_seen_at_the_next_use(resources: Resources) -> None:
    await resources.apply([workflow()])
    assert (await resources.compiled("w")).config == "{}"
    await resources.apply([config("c", ALL, level=1)])
    assert (await resources.compiled("w")).config == '{"level":1}'
    await resources.apply([config("d", {"type": "name", "value": "w"}, level=2)])
    assert (await resources.compiled("w")).config == '{"level":2}'
    await resources.delete("config", "d")
    assert (await resources.compiled("w")).config == '{"level":1}'
    await resources.apply([workflow(target="a.c")])
    assert (await resources.compiled("w")).spec.stages[0].target == "a.c"
    await resources.delete("workflow", "w")
    with pytest.raises(NotFound, match="there is no workflow 'w'"):
        await resources.compiled("w")


async def test_what_was_read_before_a_write_is_not_kept_after_it(
    resources: Resources, store: BusyStore
) -> None:
    await resources.apply([workflow()])
    store.after_read.append(lambda: resources.apply([workflow(target="a.c")]))
    assert (await resources.compiled("w")).revision == 1
    assert (await resources.compiled("w")).revision == 2


async def test_a_cancelled_write_that_was_made_is_seen(
    resources: Resources, store: BusyStore
) -> None:
    await resources.apply([workflow()])
    await resources.compiled("w")
    with trio.CancelScope() as scope:

        async def cancel() -> None:
            scope.cancel()

        store.after_read.append(cancel)
        await resources.apply([workflow(target="a.c")])
    assert scope.cancel_called
    assert (await resources.compiled("w")).revision == (await stored(store))["w"]


async def test_with_several_writers_each_use_looks_at_the_store(store: BusyStore) -> None:
    resources = Resources(store=store, broker=InProcessBroker(), sole_writer=False)
    await resources.apply([workflow()])
    first = await resources.compiled("w")
    assert await resources.compiled("w") is first
    await overwrite(store, "x.y")
    second = await resources.compiled("w")
    assert (second.revision, second.spec.stages[0].target) == (2, "x.y")


async def test_a_workflow_recreated_under_its_name_is_another(store: BusyStore) -> None:
    resources = Resources(store=store, broker=InProcessBroker(), sole_writer=False)
    await resources.apply([workflow()])
    await resources.compiled("w")
    await store.delete_resource("workflow", "w")
    await overwrite(store, "x.y")
    assert (await resources.compiled("w")).spec.stages[0].target == "x.y"


async def test_an_input_is_checked_by_the_schema(resources: Resources) -> None:
    document = workflow()
    document["spec"]["input_schema"] = {"required": ["n"]}
    await resources.apply([document, workflow("free")])
    compiled = await resources.compiled("w")
    assert [problem.code for problem in compiled.check_input({})] == ["run.bad_input"]
    assert compiled.check_input({"n": 1}) == []
    assert (await resources.compiled("free")).check_input({"anything": 1}) == []


async def test_a_description_says_how_resources_stand_to_each_other(resources: Resources) -> None:
    named = config("b", {"type": "name", "value": "w"}, level=2)
    await resources.apply([workflow(), workflow("v"), config("z", ALL, level=1), named])
    about = await resources.describe("workflow", "w")
    assert (about.configs, about.config, about.order) == (("z", "b"), {"level": 2}, ("s",))
    assert (await resources.describe("config", "b")).workflows == ("w",)
    assert (await resources.describe("config", "z")).workflows == ("v", "w")


async def test_lists_show_documents_in_reading_order(resources: Resources) -> None:
    await resources.apply([workflow("a", annotations={"g": "x"}), workflow("b")])
    page = await resources.list_("workflow", annotations={"g": "x"})
    assert [one.metadata.name for one in page.items] == ["a"]
    assert list(page.items[0].spec["stages"][0]) == ["name", "target"]
