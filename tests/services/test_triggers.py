"""When trigger rules fire: instants, restarts, clocks, overlaps, events; on a virtual clock."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from flowdapt.domain.errors import Unavailable
from flowdapt.domain.events import CLOCK_JUMPED, TRIGGER_PAUSED, WORKFLOW_FINISHED
from flowdapt.domain.fire import MAX_DEPTH, PAUSE_AFTER
from flowdapt.domain.run import RunState
from flowdapt.stores.memory import MemoryStore
from flowdapt.testing import FakeClock
from tests.services.tower import RUN_TRAIN, START, at, tower

pytestmark = pytest.mark.trio

ON_MINE: dict[str, Any] = {"type": "condition", "rule": {"eq": [{"var": "type"}, "mine"]}}
MINUTE = 60.0


# -- instants --------------------------------------------------------------------------------------------


async def test_a_schedule_fires_at_its_instants(autojump_clock: MockClock) -> None:
    async with tower() as house:
        await house.rule(overlap="allow")
        await trio.sleep(3 * MINUTE + 1)
        slots, runs = await house.slots(), await house.runs()
    assert slots == [(at(minutes=n), "started", None) for n in (1, 2, 3)]
    assert [run.created_at for run in runs] == [at(minutes=n) for n in (1, 2, 3)]
    assert {(run.source, run.trigger_rule) for run in runs} == {("trigger", "rule")}


async def test_an_interval_fires_from_its_anchor(autojump_clock: MockClock) -> None:
    async with tower() as house:
        rule = {"every": "10s", "anchor": "2026-01-01T00:00:03Z"}
        await house.rule(type="interval", rule=rule, overlap="allow")
        await trio.sleep(25)
        slots = await house.slots()
    assert [slot[0] for slot in slots] == [at(3), at(13), at(23)]


async def test_a_new_rule_never_fires_the_past(autojump_clock: MockClock) -> None:
    async with tower() as house:
        await trio.sleep(10 * MINUTE)
        await house.rule(catch_up="all")
        await trio.sleep(1)
        assert await house.fires() == []


async def test_an_edited_schedule_never_fires_the_past(autojump_clock: MockClock) -> None:
    async with tower() as house:
        await house.rule(rule=["0 * * * *"])
        await trio.sleep(30 * MINUTE)
        await house.rule(rule=["*/7 * * * *"], catch_up="all")
        await trio.sleep(6 * MINUTE)
        fires = await house.fires()
    assert [(fire.scheduled_at, fire.generation) for fire in fires] == [(at(minutes=35), 2)]


async def test_an_edit_of_the_actions_alone_keeps_the_generation(autojump_clock: MockClock) -> None:
    async with tower() as house:
        await house.rule(overlap="allow")
        await trio.sleep(MINUTE + 1)
        await house.rule(overlap="allow", description="the same times")
        await trio.sleep(MINUTE)
        fires = await house.fires()
    assert [(fire.scheduled_at, fire.generation) for fire in fires] == [
        (at(minutes=1), 1),
        (at(minutes=2), 1),
    ]


@pytest.mark.parametrize("how", ["disabled", "deleted", "paused"])
async def test_a_rule_that_is_taken_away_fires_no_more(autojump_clock: MockClock, how: str) -> None:
    async with tower() as house:
        await house.rule(overlap="allow")
        await trio.sleep(MINUTE + 1)
        if how == "disabled":
            await house.rule(overlap="allow", enabled=False)
        elif how == "deleted":
            await house.resources.delete("trigger_rule", "rule")
        else:
            await house.store.pause_rule("rule", reason="user")
        await trio.sleep(10 * MINUTE)
        assert len(await house.fires()) == 1


async def test_a_resumed_rule_goes_on_from_now(autojump_clock: MockClock) -> None:
    async with tower() as house:
        await house.rule(overlap="allow", catch_up="all")
        await house.store.pause_rule("rule", reason="user")
        await trio.sleep(10 * MINUTE)
        await house.store.resume_rule("rule")
        await trio.sleep(MINUTE + 10)
        assert [slot[0] for slot in await house.slots()] == [at(minutes=11)]


# -- restarts and clocks ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("catch_up", "down", "expected"),
    [
        ("none", timedelta(minutes=10), [("missed", 9)]),
        ("latest", timedelta(minutes=10), [("missed", 8), ("started", 1)]),
        ("all", timedelta(minutes=10), [("started", 1)] * 9),
        ("none", timedelta(days=3), [("missed", 4319)]),
        ("latest", timedelta(days=3), [("missed", 4318), ("started", 1)]),
        ("all", timedelta(days=3), [("missed", 4219)] + [("started", 1)] * 100),
    ],
)
async def test_what_was_missed_while_down_follows_the_catch_up_rule(
    autojump_clock: MockClock, catch_up: str, down: timedelta, expected: list[tuple[str, int]]
) -> None:
    clock = FakeClock(START)
    store = MemoryStore(clock)
    async with tower(store, clock=clock) as house:
        await house.rule(overlap="allow", catch_up=catch_up)
        await trio.sleep(MINUTE + 1)
        before = len(await house.fires())
    # Half a minute past a slot that lies within the grace of an hour's first minutes.
    await trio.sleep(down.total_seconds() + 0.5)
    async with tower(store, clock=clock, documents=()) as house:
        await trio.sleep(0.1)
        fires = (await house.fires())[before:]
    assert before == 1
    assert [(f.state.value, f.slots) for f in fires[:-1]] == expected[: len(fires) - 1]
    on_time = fires[-1]
    assert (on_time.state.value, on_time.reason) == ("started", None)


async def test_a_slot_within_the_grace_is_on_time_after_a_restart(
    autojump_clock: MockClock,
) -> None:
    clock = FakeClock(START)
    store = MemoryStore(clock)
    async with tower(store, clock=clock) as house:
        await house.rule(rule=["0 3 * * *"], catch_up="none")
    await trio.sleep(3 * 3600 + 50)
    async with tower(store, clock=clock, documents=()) as house:
        await trio.sleep(0.1)
        assert await house.slots() == [(at(hours=3), "started", None)]


@pytest.mark.parametrize(
    ("jump_s", "slots"),
    [
        (-3600.0, [at(minutes=1)]),
        (3600.0, [at(minutes=1), at(minutes=2), at(minutes=60), at(minutes=61)]),
        (365 * 86400.0, [at(minutes=1), at(minutes=2)]),
    ],
)
async def test_a_jump_of_the_clock_makes_no_storm_and_no_double(
    autojump_clock: MockClock, jump_s: float, slots: list[Any]
) -> None:
    async with tower() as house:
        await house.rule(overlap="allow", catch_up="latest")
        await trio.sleep(MINUTE + 1)
        house.clock.jump_s = jump_s
        await trio.sleep(30)
        fires = await house.fires()
        told = await house.store.list_events(types=[CLOCK_JUMPED])
    assert [fire.scheduled_at for fire in fires][: len(slots)] == slots
    assert len(fires) <= 4
    assert len(told) == 1


async def test_a_clock_that_flaps_by_a_second_fires_each_slot_once(
    autojump_clock: MockClock,
) -> None:
    async with tower() as house:
        await house.rule(overlap="allow")
        for step in range(600):
            house.clock.jump_s = 1.0 if step % 2 else 0.0
            await trio.sleep(1)
        slots = [slot[0] for slot in await house.slots()]
    assert slots == [at(minutes=n) for n in range(1, len(slots) + 1)]
    assert len(slots) >= 9


async def test_a_machine_that_slept_makes_up_for_the_latest_slot(
    autojump_clock: MockClock,
) -> None:
    async with tower() as house:
        await house.rule(rule=["0 3 * * *"])
        house.clock.jump_s = 8 * 3600.0
        await trio.sleep(6)
        assert await house.slots() == [(at(hours=3), "started", "caught_up")]


# -- overlap ---------------------------------------------------------------------------------------------


async def test_forbid_skips_with_a_row_while_a_run_is_open(autojump_clock: MockClock) -> None:
    async with tower() as house:
        await house.rule()
        await trio.sleep(2 * MINUTE + 1)
        await house.finish((await house.runs())[0].uid)
        await trio.sleep(MINUTE)
        slots = await house.slots()
    assert [slot[1:] for slot in slots] == [
        ("started", None),
        ("skipped", "overlap"),
        ("started", None),
    ]


async def test_queue_one_starts_when_the_open_run_ends(autojump_clock: MockClock) -> None:
    async with tower() as house:
        await house.rule(overlap="queue_one")
        await trio.sleep(3 * MINUTE + 1)
        await house.finish((await house.runs())[0].uid)
        await trio.sleep(0.1)
        slots, runs = await house.slots(), await house.runs()
    assert [slot[1:] for slot in slots] == [
        ("started", None),
        ("started", "waited"),
        ("skipped", "waiting"),
    ]
    assert len(runs) == 2


async def test_a_waiting_fire_of_a_rule_that_is_deleted_is_given_up(
    autojump_clock: MockClock,
) -> None:
    async with tower() as house:
        await house.rule(overlap="queue_one")
        await trio.sleep(2 * MINUTE + 1)
        await house.resources.delete("trigger_rule", "rule")
        await trio.sleep(30)
        assert (await house.slots())[1][1:] == ("waiting", "overlap")
        await house.finish((await house.runs())[0].uid)
        await trio.sleep(11)
        slots, runs = await house.slots(), await house.runs()
    assert [slot[1:] for slot in slots] == [("started", None), ("skipped", "rule_changed")]
    assert len(runs) == 1


async def test_a_waiting_fire_of_an_event_keeps_its_event(autojump_clock: MockClock) -> None:
    take = {"workflow": "train", "input": {"loss": {"var": "data.loss"}}}
    actions = [{"target": "run_workflow", "parameters": take}]
    async with tower() as house:
        await house.rule(**ON_MINE, overlap="queue_one", actions=actions)
        await house.event(data='{"loss": 1}')
        await trio.sleep(0.1)
        await house.event(data='{"loss": 2}')
        await trio.sleep(0.1)
        first = (await house.runs())[0]
        await house.finish(first.uid)
        await trio.sleep(0.1)
        second = (await house.store.load_run((await house.runs())[1].uid)).run
    assert second.input.data == b'{"loss":2}'


async def test_replace_asks_the_open_run_to_end_and_starts(autojump_clock: MockClock) -> None:
    async with tower() as house:
        await house.rule(overlap="replace")
        await trio.sleep(2 * MINUTE + 1)
        first, second = await house.runs()
    assert (first.state, first.reason) == (RunState.CANCELLED, "replaced")
    assert second.state is RunState.QUEUED


# -- events ----------------------------------------------------------------------------------------------


async def test_an_event_that_meets_a_condition_starts_a_run(autojump_clock: MockClock) -> None:
    take = {"workflow": "train", "input": {"loss": {"var": "data.loss"}}}
    async with tower() as house:
        await house.rule(**ON_MINE, actions=[{"target": "run_workflow", "parameters": take}])
        await house.event("other")
        event = await house.event(data='{"loss": 0.5}')
        await trio.sleep(0.1)
        (fire,) = await house.fires()
        run = (await house.store.load_run(fire.runs[0])).run
    assert (fire.event_id, fire.event_cursor) == (event.id, event.cursor)
    assert run.input.data == b'{"loss":0.5}'
    assert run.causation_depth == 1


async def test_events_of_the_time_that_was_down_are_met_once(autojump_clock: MockClock) -> None:
    clock = FakeClock(START)
    store = MemoryStore(clock)
    async with tower(store, clock=clock) as house:
        await house.rule(**ON_MINE, overlap="allow")
        first = await house.event()
        await trio.sleep(2)
    async with tower(store, clock=clock, documents=(), serving=False) as house:
        second = await house.event()
    for _ in range(2):
        async with tower(store, clock=clock, documents=()) as house:
            await trio.sleep(0.1)
            fires = await house.fires()
    assert [fire.event_id for fire in fires] == [first.id, second.id]


async def test_events_before_a_rule_do_not_fire_it(autojump_clock: MockClock) -> None:
    async with tower() as house:
        await house.rule("other", **ON_MINE, overlap="allow")
        await house.event()
        await trio.sleep(1)
        await house.rule(**ON_MINE)
        await trio.sleep(20)
        assert await house.fires() == []
        assert len(await house.fires("other")) == 1


async def test_a_lost_hint_costs_five_seconds(autojump_clock: MockClock) -> None:
    async with tower() as house:
        await house.rule(**ON_MINE)
        await trio.sleep(1)
        house.broker.publish = lambda message: None  # type: ignore[method-assign]
        await house.event()
        await trio.sleep(5.1)
        assert len(await house.fires()) == 1


async def test_rules_that_feed_each_other_stop_at_the_depth(autojump_clock: MockClock) -> None:
    """F50: A fires B, B fires A."""

    def publish(kind: str) -> dict[str, Any]:
        return {"target": "publish_event", "parameters": {"type": kind}}

    async with tower() as house:
        for name, other in (("a", "b"), ("b", "a")):
            rule = {"eq": [{"var": "type"}, name]}
            await house.rule(name, type="condition", rule=rule, actions=[publish(other)])
        await house.event("a")
        await trio.sleep(60)
        fires = [*await house.fires("a"), *await house.fires("b")]
        events = await house.store.list_events(types=["a", "b"])
    assert len(events) == MAX_DEPTH + 1
    assert sorted(fire.state.value for fire in fires) == ["skipped"] + ["started"] * MAX_DEPTH
    (stopped,) = [fire for fire in fires if fire.state.value == "skipped"]
    assert stopped.reason == "depth"


async def test_a_rule_about_skipped_fires_does_not_feed_itself(autojump_clock: MockClock) -> None:
    rule = {"eq": [{"var": "type"}, "com.event.trigger.skipped"]}
    async with tower() as house:
        await house.rule("any", type="condition", rule=rule)
        await house.rule(**ON_MINE)
        for _ in range(3):
            await house.event()
        await trio.sleep(60)
        assert len(await house.fires("any")) < 20


# -- failures --------------------------------------------------------------------------------------------


async def test_a_fire_that_cannot_start_its_run_is_visible(autojump_clock: MockClock) -> None:
    async with tower(documents=()) as house:
        await house.rule()
        await trio.sleep(MINUTE + 1)
        (fire,) = await house.fires()
    assert (fire.state.value, fire.reason) == ("failed", "resource.not_found")
    assert "there is no workflow 'train'" in str(fire.error)


async def test_ten_failed_fires_pause_the_rule_with_an_event(autojump_clock: MockClock) -> None:
    async with tower(documents=()) as house:
        await house.rule()
        await trio.sleep(20 * MINUTE)
        fires = await house.fires()
        told = await house.store.list_events(types=[TRIGGER_PAUSED])
    assert len(fires) == PAUSE_AFTER
    assert len(told) == 1


async def test_a_fire_starts_everything_or_nothing(autojump_clock: MockClock) -> None:
    missing = {"target": "run_workflow", "parameters": {"workflow": "missing"}}
    async with tower() as house:
        await house.rule(actions=[RUN_TRAIN, missing])
        await trio.sleep(MINUTE + 1)
        (fire,) = await house.fires()
        assert await house.runs() == []
    assert fire.state.value == "failed"


async def test_one_bad_rule_never_hurts_another(autojump_clock: MockClock) -> None:
    """Failure 8 of the earlier flowdapt: what was stored after a malformed rule was silent."""
    async with tower() as house:
        for name in ("a-bad", "z-bad"):
            spec = {"type": "schedule", "rule": ["nonsense"], "actions": [RUN_TRAIN]}
            await house.stored_rule(name, spec)
        await house.rule("middle")
        await trio.sleep(MINUTE + 6)
        assert [slot[1] for slot in await house.slots("middle")] == ["started"]
        assert set(house.triggers.broken) == {"a-bad", "z-bad"}


async def test_a_store_that_is_away_costs_a_delay_and_no_slot(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with tower() as house:
        await house.rule(overlap="allow")
        fire = house.store.fire

        async def away(new: Any) -> Any:
            raise Unavailable("away")

        monkeypatch.setattr(house.store, "fire", away)
        await trio.sleep(MINUTE + 10)
        monkeypatch.setattr(house.store, "fire", fire)
        await trio.sleep(6)
        assert await house.slots() == [(at(minutes=1), "started", None)]


async def test_a_draining_service_fires_nothing(autojump_clock: MockClock) -> None:
    async with tower() as house:
        await house.rule(overlap="allow")
        await house.rule("events", **ON_MINE)
        house.triggers.drain()
        await house.event()
        await trio.sleep(2.5 * MINUTE)
        assert [*await house.fires(), *await house.fires("events")] == []
        house.triggers.resume()
        await trio.sleep(MINUTE)
        assert [slot[2] for slot in await house.slots()] == ["caught_up", None, None]
        assert len(await house.fires("events")) == 1


async def test_a_drain_between_two_fires_leaves_the_second_due(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with tower() as house:
        fire = house.store.fire

        async def last(new: Any) -> Any:
            house.triggers.drain()
            return await fire(new)

        for name in ("one", "two"):
            await house.rule(name, overlap="allow")
            await house.rule(f"on-{name}", **ON_MINE, overlap="allow")
        monkeypatch.setattr(house.store, "fire", last)
        await trio.sleep(MINUTE + 1)
        drained = [len(await house.fires(name)) for name in ("one", "two")]
        monkeypatch.setattr(house.store, "fire", fire)
        house.triggers.resume()
        await trio.sleep(1)
        assert sorted(drained) == [0, 1]
        assert [len(await house.fires(name)) for name in ("one", "two")] == [1, 1]
        monkeypatch.setattr(house.store, "fire", last)
        for _ in range(2):
            await house.event()
        await trio.sleep(10)
        # One event is met whole; the next waits for whoever goes on.
        met = {fire.event_id for fire in await house.fires("on-one")}
        assert len(met) == 1
        monkeypatch.setattr(house.store, "fire", fire)
        house.triggers.resume()
        await trio.sleep(6)
        assert len(await house.fires("on-one")) == 2


async def test_two_services_fire_each_slot_once(autojump_clock: MockClock) -> None:
    clock = FakeClock(START)
    store = MemoryStore(clock)
    async with tower(store, clock=clock) as one, tower(store, clock=clock, documents=()):
        await one.rule(overlap="allow")
        await one.rule("events", **ON_MINE, overlap="allow")
        await one.event()
        await trio.sleep(10 * MINUTE + 1)
        slots, runs = await one.slots(), await one.runs()
    assert [slot[0] for slot in slots] == [at(minutes=n) for n in range(1, 11)]
    assert len(runs) == 11


async def test_a_failed_run_starts_its_fallback(autojump_clock: MockClock) -> None:
    rule = {
        "and": [
            {"eq": [{"var": "type"}, WORKFLOW_FINISHED]},
            {"eq": [{"var": "data.workflow"}, "train"]},
            {"eq": [{"var": "data.state"}, "finished"]},
            {"eq": [{"var": "data.source"}, "trigger"]},
            {"lt": [{"var": "causation_depth"}, 1]},
        ]
    }
    async with tower() as house:
        await house.rule("after", type="condition", rule=rule)
        await house.rule(rule=["0 1 * * *"])
        await trio.sleep(3601)
        (first,) = await house.runs()
        await house.finish(first.uid)
        await trio.sleep(6)
        (fire,) = await house.fires("after")
    assert fire.state.value == "started"
