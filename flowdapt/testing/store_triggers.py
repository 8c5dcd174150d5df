"""The part of the store's contract about triggers: rules, fires, deliveries, readers of the journal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flowdapt.domain.errors import NotFound, QueueFull, StaleRule
from flowdapt.domain.events import (
    TRIGGER_FIRED,
    TRIGGER_PAUSED,
    TRIGGER_RESUMED,
    TRIGGER_SKIPPED,
    EventDraft,
)
from flowdapt.domain.fire import (
    FIRES_PER_MINUTE,
    PAUSE_AFTER,
    FireState,
    NewFire,
    Overlap,
    RuleState,
)
from flowdapt.domain.resource import Metadata, Resource
from flowdapt.ports.store import ResourceWrite, RunFilter, Store
from flowdapt.testing.store_records import finish, new_run
from flowdapt.testing.store_submission import OpensStore

__all__ = ["RULE", "T0", "TriggerContract", "a_rule", "fire_of"]

RULE = "nightly"
T0 = datetime(2026, 1, 1, tzinfo=UTC)


async def a_rule(store: Store, name: str = RULE, note: str = "") -> RuleState:
    """Store a rule and begin its first generation; return its state."""
    spec = {"type": "schedule", "rule": ["0 3 * * *"], "description": note}
    resource = Resource(kind="trigger_rule", metadata=Metadata(name=name), spec=spec)
    await store.apply([ResourceWrite(resource)])
    return await store.begin_generation(name, signature="s", not_before=T0)


def fire_of(of: RuleState, minute: int | None = 1, *, runs: int = 1, **fields: Any) -> NewFire:
    """Return a fire of a slot that starts so many runs."""
    at = None if minute is None else T0 + timedelta(minutes=minute)
    new = NewFire(of.rule, 1, of.generation, "schedule", scheduled_at=at, evaluated_to=at)
    new.runs = [new_run(owner="me", trigger_rule=of.rule) for _ in range(runs)]
    for name, value in fields.items():
        setattr(new, name, value)
    return new


class TriggerContract(OpensStore):
    """What `flowdapt.ports.triggers.TriggerStore` promises."""

    async def test_a_new_signature_begins_a_generation_and_the_same_does_not(self) -> None:
        later = T0 + timedelta(days=1)
        async with self.opened() as store:
            first = await a_rule(store)
            same = await store.begin_generation(RULE, signature="s", not_before=later)
            second = await store.begin_generation(RULE, signature="t", not_before=later)
            states = await store.list_rule_states()
        assert same == first == RuleState(RULE, "s", 1, T0, T0)
        assert second == RuleState(RULE, "t", 2, later, later)
        assert states == {RULE: second}

    async def test_a_fire_its_run_and_its_events_are_one(self) -> None:
        async with self.opened() as store:
            state = await a_rule(store)
            new = fire_of(state, events=[EventDraft("mine", "me", "{}")], depth=3)
            fired = await store.fire(new)
            run = await store.get_run(new.runs[0].run.uid)
            events = await store.list_events(types=[TRIGGER_FIRED, "mine"])
            listed = (await store.list_fires(rule=RULE)).items
            after = (await store.list_rule_states())[RULE]
        assert fired.created
        assert fired.fire == listed[0]
        assert fired.fire.state is FireState.STARTED
        assert fired.fire.runs == (run.uid,)
        assert [s.run.uid for s in fired.submissions] == [run.uid]
        assert run.trigger_rule == RULE
        assert [event.type for event in events] == [TRIGGER_FIRED, "mine"]
        assert events[0].causation_depth == 3
        assert events[0].data["runs"] == [run.uid]
        assert after.last_evaluated_at == T0 + timedelta(minutes=1)

    async def test_a_slot_fires_once(self) -> None:
        async with self.opened() as store:
            state = await a_rule(store)
            first = await store.fire(fire_of(state))
            again = await store.fire(fire_of(state))
            other = await store.fire(fire_of(state, 2))
            runs = (await store.list_runs(RunFilter())).items
        assert again.fire == first.fire
        assert (first.created, again.created, other.created) == (True, False, True)
        assert len(runs) == 2

    async def test_an_event_fires_a_rule_once(self) -> None:
        async with self.opened() as store:
            state = await a_rule(store)
            other = await a_rule(store, "other")
            kinds: dict[str, Any] = {"kind": "condition", "event_id": "e1"}
            fired = [await store.fire(fire_of(of, None, **kinds)) for of in (state, state, other)]
        assert [one.created for one in fired] == [True, False, True]

    @pytest.mark.parametrize("change", ["edit", "delete", "pause", "generation"])
    async def test_a_rule_that_changed_meanwhile_does_not_fire(self, change: str) -> None:
        async with self.opened() as store:
            state = await a_rule(store)
            if change == "edit":
                await a_rule(store, note="edited")
            elif change == "delete":
                await store.delete_resource("trigger_rule", RULE)
            elif change == "pause":
                await store.pause_rule(RULE, reason="user")
            else:
                await store.begin_generation(RULE, signature="t", not_before=T0)
            with pytest.raises(StaleRule):
                await store.fire(fire_of(state))
            assert (await store.list_fires()).items == []
            assert (await store.list_runs(RunFilter())).items == []

    async def test_a_paused_rule_fires_by_hand(self) -> None:
        async with self.opened() as store:
            state = await a_rule(store)
            await store.pause_rule(RULE, reason="user")
            fired = await store.fire(fire_of(state, None, kind="manual"))
        assert fired.created

    async def test_a_full_queue_leaves_no_trace_of_the_fire(self) -> None:
        async with self.opened() as store:
            state = await a_rule(store)
            await store.submit(new_run())
            new = fire_of(state, runs=0)
            new.runs = [new_run(owner="me"), new_run(max_queued=1)]
            with pytest.raises(QueueFull):
                await store.fire(new)
            assert (await store.list_fires()).items == []
            assert len((await store.list_runs(RunFilter())).items) == 1
            assert await store.check() == []

    @pytest.mark.parametrize(
        ("overlap", "states", "open_runs"),
        [
            (Overlap.ALLOW, ["started", "started", "started"], 3),
            (Overlap.FORBID, ["started", "skipped", "skipped"], 1),
            (Overlap.QUEUE_ONE, ["started", "waiting", "skipped"], 1),
        ],
    )
    async def test_an_open_run_decides_by_the_overlap_policy(
        self, overlap: Overlap, states: Sequence[str], open_runs: int
    ) -> None:
        async with self.opened() as store:
            state = await a_rule(store)
            fired = [
                await store.fire(fire_of(state, minute, overlap=overlap)) for minute in (1, 2, 3)
            ]
            runs = (await store.list_runs(RunFilter())).items
            skipped = await store.list_events(types=[TRIGGER_SKIPPED])
        assert [one.fire.state.value for one in fired] == states
        assert len(runs) == open_runs
        assert len(skipped) == states.count("skipped")

    async def test_replace_asks_the_open_run_to_end(self) -> None:
        async with self.opened() as store:
            state = await a_rule(store)
            first = await store.fire(fire_of(state, overlap=Overlap.REPLACE))
            second = await store.fire(fire_of(state, 2, overlap=Overlap.REPLACE))
            old = await store.get_run(first.fire.runs[0])
        assert second.replaced == first.fire.runs
        assert old.cancel_reason == "replaced"

    async def test_a_waiting_fire_starts_when_the_open_run_has_ended(self) -> None:
        async with self.opened() as store:
            state = await a_rule(store)
            fields: dict[str, Any] = {"overlap": Overlap.QUEUE_ONE}
            first = await store.fire(fire_of(state, **fields))
            waits = (await store.fire(fire_of(state, 2, **fields))).fire
            assert await store.waiting_fires() == []
            early = await store.fire(fire_of(state, 2, waiting=waits.number, **fields))
            loaded = first.submissions[0]
            await finish(store, loaded.run, loaded.stages)
            assert [fire.number for fire in await store.waiting_fires()] == [waits.number]
            started = await store.fire(fire_of(state, 2, waiting=waits.number, **fields))
            again = await store.fire(fire_of(state, 2, waiting=waits.number, **fields))
            listed = (await store.list_fires()).items
        assert not early.created
        assert (started.created, again.created) == (True, False)
        assert started.fire.number == waits.number
        assert [fire.state.value for fire in listed] == ["started", "started"]

    async def test_a_waiting_fire_can_be_given_up(self) -> None:
        async with self.opened() as store:
            state = await a_rule(store)
            await store.fire(fire_of(state, overlap=Overlap.QUEUE_ONE))
            waits = (await store.fire(fire_of(state, 2, overlap=Overlap.QUEUE_ONE))).fire
            assert await store.end_waiting(waits.number, reason="paused")
            assert not await store.end_waiting(waits.number, reason="paused")
            (given_up,) = (await store.list_fires(states=["skipped"])).items
        assert given_up.reason == "paused"

    async def test_ten_failed_fires_in_a_row_pause_the_rule(self) -> None:
        async with self.opened() as store:
            state = await a_rule(store)
            failed: dict[str, Any] = {"state": FireState.FAILED, "reason": "no_workflow", "runs": 0}
            await store.fire(fire_of(state, 1, **failed))
            await store.fire(fire_of(state, 2))
            fired = [
                await store.fire(fire_of(state, 3 + at, **failed)) for at in range(PAUSE_AFTER)
            ]
            after = (await store.list_rule_states())[RULE]
            told = await store.list_events(types=[TRIGGER_PAUSED])
            with pytest.raises(StaleRule):
                await store.fire(fire_of(state, 60))
        assert [one.paused for one in fired] == [False] * (PAUSE_AFTER - 1) + [True]
        assert after.paused_at is not None
        assert len(told) == 1

    async def test_a_resumed_rule_begins_now(self) -> None:
        async with self.opened() as store:
            await a_rule(store)
            paused = await store.pause_rule(RULE, reason="user")
            assert await store.pause_rule(RULE, reason="again") == paused
            resumed = await store.resume_rule(RULE)
            assert await store.resume_rule(RULE) == resumed
            told = await store.list_events(types=[TRIGGER_PAUSED, TRIGGER_RESUMED])
            with pytest.raises(NotFound):
                await store.pause_rule("unknown", reason="user")
        assert paused.paused_reason == "user"
        assert resumed.paused_at is None
        assert resumed.not_before == resumed.last_evaluated_at > T0
        assert [event.type for event in told] == [TRIGGER_PAUSED, TRIGGER_RESUMED]

    async def test_a_flood_of_one_condition_is_stopped_and_told_once(self) -> None:
        async with self.opened() as store:
            state = await a_rule(store)
            fired = [
                await store.fire(
                    fire_of(state, None, runs=0, kind="condition", event_id=f"e{number}")
                )
                for number in range(FIRES_PER_MINUTE + 3)
            ]
            (told,) = (await store.list_fires(states=["skipped"])).items
        assert [one.created for one in fired] == [True] * (FIRES_PER_MINUTE + 1) + [False] * 2
        assert told.reason == "rate"

    async def test_fires_are_listed_newest_first_page_by_page(self) -> None:
        async with self.opened() as store:
            state, other = await a_rule(store), await a_rule(store, "other")
            for minute in range(5):
                await store.fire(fire_of(state, minute, runs=0))
            await store.fire(fire_of(other, runs=0))
            first = await store.list_fires(rule=RULE, limit=3)
            rest = await store.list_fires(rule=RULE, limit=3, cursor=first.next)
        minutes = [fire.scheduled_at for fire in [*first.items, *rest.items]]
        assert minutes == [T0 + timedelta(minutes=minute) for minute in (4, 3, 2, 1, 0)]
        assert rest.next is None

    async def test_a_reader_of_the_journal_never_goes_back(self) -> None:
        async with self.opened() as store:
            assert await store.get_cursor("relay") is None
            await store.move_cursor("relay", 7)
            await store.move_cursor("relay", 5)
            assert await store.get_cursor("relay") == 7
            assert await store.get_cursor("other") is None

    async def test_the_newest_cursor_is_known(self) -> None:
        async with self.opened() as store:
            assert await store.newest_cursor() == 0
            first = await store.add_event(EventDraft("a", "me", "1"))
            await store.submit(new_run())
            second = await store.add_event(EventDraft("b", "me", "1"))
            assert await store.newest_cursor() == second.cursor
            before = await store.newest_cursor(before=second.time)
            later = datetime.now(UTC) + timedelta(days=1)
            assert await store.newest_cursor(before=later) == second.cursor
        assert before < second.cursor
        assert first.time == second.time or before >= first.cursor

    async def test_an_event_with_an_id_of_its_own_is_written_once(self) -> None:
        async with self.opened() as store:
            draft = EventDraft("mine", "me", "1", id="abc")
            first = await store.add_event(draft)
            again = await store.add_event(draft)
            assert await store.list_events(types=["mine"]) == [first]
        assert first.id == "abc"
        assert again == first
