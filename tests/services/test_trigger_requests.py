"""What is asked of trigger rules while they live: by hand, pauses, counts, and what had started a run."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from flowdapt.domain.events import TRIGGER_FIRED, WORKFLOW_FINISHED
from flowdapt.domain.run import RunState
from flowdapt.domain.trigger_views import EventChoice
from flowdapt.services.causes import causes_of
from flowdapt.stores.memory import MemoryStore
from flowdapt.testing import FakeClock
from tests.services.tower import RUN_TRAIN, START, Tower, at, tower

pytestmark = pytest.mark.trio
MINUTE = 60.0
NO_EVENT = EventChoice()


async def told(house: Tower, uid: str) -> list[str]:
    run = await house.store.get_run(uid)
    return [one.message for one in await causes_of(house.store, run)]


async def test_a_waiting_fire_by_hand_keeps_its_event(autojump_clock: MockClock) -> None:
    take = {"workflow": "train", "input": {"loss": {"var": "data.loss"}}}
    rule = {"eq": [{"var": "type"}, "mine"]}
    actions = [{"target": "run_workflow", "parameters": take}]
    async with tower() as house:
        await house.rule(type="condition", rule=rule, overlap="queue_one", actions=actions)
        event = await house.event(data='{"loss": 1}')
        await trio.sleep(0.1)
        waits = await house.requests.fire("rule", EventChoice(event=event.cursor))
        await house.finish((await house.runs())[0].uid)
        await trio.sleep(0.1)
        second = (await house.store.load_run((await house.runs())[1].uid)).run
        fires = await house.fires()
        assert await told(house, second.uid) == [
            (
                f"trigger rule 'rule' started it, by hand for event {event.cursor}, mine, "
                "when an open run had ended"
            )
        ]
    assert waits.state.value == "waiting"
    assert second.input.data == b'{"loss":1}'
    assert [(f.kind, f.state.value) for f in fires] == [
        ("condition", "started"),
        ("manual", "started"),
    ]


async def test_a_pause_holds_at_once_and_a_resumed_rule_goes_on(autojump_clock: MockClock) -> None:
    async with tower() as house:
        await house.rule(overlap="allow")
        paused = await house.requests.pause("rule", "holidays")
        await trio.sleep(5 * MINUTE)
        assert await house.fires() == []
        assert house.triggers.counts == {"rules": 1, "paused": 1, "broken": 0}
        resumed = await house.requests.resume("rule")
        await trio.sleep(MINUTE)
        assert [slot[0] for slot in await house.slots()] == [at(minutes=6)]
        assert house.triggers.counts["paused"] == 0
    assert (paused.next_at, resumed.next_at) == (None, at(minutes=6))


@pytest.mark.parametrize("by_hand", [True, False])
async def test_what_waits_is_started_in_a_pause_only_when_it_was_fired_by_hand(
    autojump_clock: MockClock, by_hand: bool
) -> None:
    async with tower() as house:
        await house.rule(overlap="queue_one")
        await trio.sleep(MINUTE + 1)
        if not by_hand:
            await trio.sleep(MINUTE)
        await house.requests.pause("rule", "holidays")
        if by_hand:
            await house.requests.fire("rule", NO_EVENT)
        await house.finish((await house.runs())[0].uid)
        await trio.sleep(11)
        _, second = await house.fires()
        assert len(await house.runs()) == (2 if by_hand else 1)
    ended = (second.kind, second.state.value, second.reason)
    if by_hand:
        assert ended == ("manual", "started", "waited")
    else:
        assert ended == ("schedule", "skipped", "rule_changed")


async def test_a_changed_rule_is_paused_in_its_new_shape(autojump_clock: MockClock) -> None:
    async with tower(serving=False) as house:
        await house.rule()
        await house.requests.pause("rule", "holidays")
        await house.rule(rule=["0 * * * *"])
        assert (await house.requests.status("rule")).state.value == "paused"


async def test_rules_that_mean_nothing_are_counted_and_reported() -> None:
    said: list[str | None] = []
    async with tower() as house:
        house.triggers._watch._report = said.append
        for name in ("b", "a"):
            spec = {"type": "schedule", "rule": ["nonsense"], "actions": [RUN_TRAIN]}
            await house.stored_rule(name, spec)
        await trio.sleep(0.1)
        assert house.triggers.counts == {"rules": 2, "paused": 0, "broken": 2}
        assert str(said[-1]).startswith("trigger rule 'a' means nothing: ")
        assert "(1 more: flowdapt trigger ls)" in str(said[-1])
        for name in ("a", "b"):
            await house.resources.delete("trigger_rule", name)
        await trio.sleep(0.1)
    assert said[-1] is None


async def test_a_fire_by_hand_and_a_slot_are_different_fires(autojump_clock: MockClock) -> None:
    async with tower() as house:
        await house.rule(overlap="allow")
        await trio.sleep(MINUTE)
        by_hand = await house.requests.fire("rule", NO_EVENT)
        await trio.sleep(0.5)
        slots = await house.slots()
    assert by_hand.scheduled_at is None
    assert sorted(slot[0] is None for slot in slots) == [False, True]


async def test_a_race_with_an_edit_is_settled_by_reading_anew(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with tower(serving=False) as house:
        await house.rule(overlap="allow")
        fire = house.store.fire

        async def edited_meanwhile(new: Any) -> Any:
            monkeypatch.setattr(house.store, "fire", fire)
            await house.rule(overlap="replace")
            return await fire(new)

        monkeypatch.setattr(house.store, "fire", edited_meanwhile)
        fired = await house.requests.fire("rule", NO_EVENT)
    assert fired.state.value == "started"


async def test_a_test_on_a_virtual_clock_tells_what_is_due_and_what_was_missed(
    autojump_clock: MockClock,
) -> None:
    clock = FakeClock(START)
    store = MemoryStore(clock)
    async with tower(store, clock=clock, serving=False) as house:
        await house.rule(catch_up="latest")
        before = await house.requests.test("rule", NO_EVENT)
        await trio.sleep(10 * MINUTE + 30)
        after = await house.requests.test("rule", NO_EVENT)
        assert await house.fires() == []
    assert (before.fires, before.next_at) == (False, at(minutes=1))
    assert (after.fires, after.due, after.missed) == (True, (at(minutes=9), at(minutes=10)), 8)


async def test_why_tells_the_chain_of_rules_instants_and_runs(autojump_clock: MockClock) -> None:
    rule = {"and": [
        {"eq": [{"var": "type"}, WORKFLOW_FINISHED]}, {"eq": [{"var": "causation_depth"}, 0]},
    ]}  # fmt: skip
    async with tower() as house:
        await house.rule("after", type="condition", rule=rule)
        await house.rule(rule=["0 1 * * *"])
        await trio.sleep(3601)
        (first,) = await house.runs()
        await house.finish(first.uid)
        await trio.sleep(6)
        second = (await house.runs())[1]
        (event,) = await house.store.list_events(types=[WORKFLOW_FINISHED])
        assert await told(house, first.uid) == [
            "trigger rule 'rule' started it for 2026-01-01T01:00:00Z"
        ]
        assert await told(house, second.uid) == [
            (
                f"trigger rule 'after' started it for event {event.cursor}, workflow.workflow_finished "
                f"of {event.data['name']}"
            ),
            "trigger rule 'rule' started it for 2026-01-01T01:00:00Z",
        ]


async def test_why_of_a_run_that_nobody_triggered_tells_no_cause(
    autojump_clock: MockClock,
) -> None:
    async with tower() as house:
        await house.rule()
        await trio.sleep(MINUTE)
        (run,) = await house.runs()
        run.trigger_rule = None
        assert await causes_of(house.store, run) == []


async def test_why_without_the_journal_names_the_rule_alone(autojump_clock: MockClock) -> None:
    async with tower() as house:
        await house.rule()
        await trio.sleep(MINUTE)
        (run,) = await house.runs()

        async def nothing(**_: Any) -> list[Any]:
            return []

        house.store.list_events = nothing  # type: ignore[method-assign,assignment]
        assert await told(house, run.uid) == ["trigger rule 'rule' started it"]


async def test_the_fire_is_found_among_those_of_other_rules(autojump_clock: MockClock) -> None:
    async with tower() as house:
        for number in range(5):
            await house.rule(f"rule{number}")
        await trio.sleep(MINUTE)
        runs = await house.runs()
        fired = await house.store.list_events(types=[TRIGGER_FIRED])
        assert len(runs) == len(fired) == 5
        for run in runs:
            assert run.state is RunState.QUEUED
            assert await told(house, run.uid) == [
                f"trigger rule {run.trigger_rule!r} started it for 2026-01-01T00:01:00Z"
            ]
