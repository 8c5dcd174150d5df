"""What fires do outside the store: at least once, few at a time, nobody held up, for about a day."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
import trio
from pydantic import BaseModel, ConfigDict

from flowdapt.domain.delivering import MAX_TRIES, PAUSES_S, delivery_id, pause_s
from flowdapt.domain.errors import InvalidInput, StorageFull
from flowdapt.domain.events import DELIVERY_FAILED, Event
from flowdapt.domain.fire import Delivery, DeliveryState, NewDelivery, NewFire
from flowdapt.domain.resource import Metadata, Resource
from flowdapt.plugins.brokers.inprocess import InProcessBroker
from flowdapt.ports.action import Action, ActionFailed, Occasion, occasion_text
from flowdapt.ports.broker import DELIVERY_READY, Message
from flowdapt.ports.clock import Clock
from flowdapt.ports.store import ResourceWrite, Store
from flowdapt.services import deliveries as service
from flowdapt.services.clock import SystemClock
from flowdapt.services.deliveries import Deliveries
from flowdapt.stores.factory import create_store
from flowdapt.stores.memory import MemoryStore
from flowdapt.testing import FakeClock

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR_S, DAY_S = 3600.0, 86400.0


class Words(BaseModel):
    model_config = ConfigDict(extra="forbid")
    text: str = ""


@dataclass
class Done:
    at: float
    text: str
    occasion: Occasion


@dataclass
class Note(Action):
    """Remembers what it did; `body` may fail, hang, or wait."""

    name: ClassVar[str] = "note"
    parameters: ClassVar[type[BaseModel]] = Words

    body: Callable[[Occasion], Awaitable[None]] | None = None
    tries: list[Done] = field(default_factory=list)
    now: Counter[str] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)

    async def perform(self, parameters: BaseModel, occasion: Occasion) -> None:
        assert isinstance(parameters, Words)
        self.tries.append(Done(trio.current_time(), parameters.text, occasion))
        for key in ("", occasion.rule):
            self.now[key] += 1
            self.most[key] = max(self.most[key], self.now[key])
        try:
            await trio.lowlevel.checkpoint()
            if self.body is not None:
                await self.body(occasion)
        finally:
            self.now.subtract(["", occasion.rule])

    def texts(self) -> list[str]:
        return [done.text for done in self.tries]


@dataclass
class Post:
    """The service over a store, and what its tests ask of it."""

    store: Store
    clock: Clock
    broker: InProcessBroker
    note: Note
    deliveries: Deliveries
    actions: dict[str, Action]

    async def fire(
        self, rule: str = "r", *texts: str, action: str = "note", wake: bool = True, **given: Any
    ) -> None:
        """Write a fire of the rule with a delivery for each text."""
        document = Resource(kind="trigger_rule", metadata=Metadata(name=rule), spec={})
        await self.store.apply([ResourceWrite(document)])
        state = await self.store.begin_generation(rule, signature="s", not_before=START)
        occasion = occasion_text(Occasion(rule, "manual", self.clock.now(), **given))
        new = NewFire(rule, 1, state.generation, "manual")
        new.deliveries = [
            NewDelivery(action, json.dumps({"text": text}), occasion) for text in texts
        ]
        await self.store.fire(new)
        if wake:
            self.broker.publish(Message(DELIVERY_READY, rule))

    async def failures(self) -> list[Event]:
        return await self.store.list_events(types=[DELIVERY_FAILED])


@asynccontextmanager
async def post(store: Store | None = None, clock: Clock | None = None) -> AsyncIterator[Post]:
    clock = clock or FakeClock()
    store = store or MemoryStore(clock)
    await store.open()
    note, broker = Note(), InProcessBroker()
    actions: dict[str, Action] = {"note": note}

    def action(name: str) -> Action:
        if name not in actions:
            raise InvalidInput(f"there is no action {name}")
        return actions[name]

    made = Deliveries(store=store, broker=broker, clock=clock, action=action)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(made.run)
            yield Post(store, clock, broker, note, made, actions)
            nursery.cancel_scope.cancel()
    finally:
        await store.close()


pytestmark = pytest.mark.trio


@pytest.fixture
def seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look seldom: days go by quicker then."""
    monkeypatch.setattr(service, "LOOK_S", 60.0)


# -- once, and soon --------------------------------------------------------------------------------


async def test_what_a_fire_does_is_done_at_once_and_once(autojump_clock: object) -> None:
    async with post() as here:
        event = {"type": "mine", "data": {"n": 1}}
        await here.fire("nightly", "a", "b", event=event, scheduled_at=START)
        await trio.sleep(0.1)
        assert sorted(here.note.texts()) == ["a", "b"]
        await trio.sleep(HOUR_S)
    (one, two) = (done.occasion for done in here.note.tries)
    assert (one.rule, one.kind, one.event, one.scheduled_at) == ("nightly", "manual", event, START)
    assert one.fire == two.fire == 1
    assert one.delivery != two.delivery


async def test_a_lost_wake_up_costs_five_seconds(autojump_clock: object) -> None:
    async with post() as here:
        await trio.sleep(1)
        await here.fire("r", "a", wake=False)
        await trio.sleep(5)
        assert here.note.texts() == ["a"]


async def test_what_was_left_by_an_earlier_daemon_is_done(autojump_clock: object) -> None:
    clock = FakeClock()
    async with post(clock=clock) as first:
        first.deliveries._store = MemoryStore(clock)
        await first.fire("r", "a")
        store = first.store
    async with post(store, clock) as second:
        await trio.sleep(0.1)
        assert second.note.texts() == ["a"]


# -- again, and for how long -----------------------------------------------------------------------


def failing(*failures: ActionFailed) -> Callable[[Occasion], Awaitable[None]]:
    left = list(failures)

    async def body(occasion: Occasion) -> None:
        if left:
            raise left.pop(0)

    return body


async def test_a_failure_that_may_pass_is_tried_again_under_the_same_name(
    autojump_clock: object,
) -> None:
    async with post() as here:
        here.note.body = failing(ActionFailed("busy"), ActionFailed("busy"))
        await here.fire("r", "a")
        await trio.sleep(HOUR_S)
        assert await here.failures() == []
    first, second, third = here.note.tries
    assert 0.5 <= second.at - first.at <= 1.1
    assert 5 <= third.at - second.at <= 15.1
    assert first.occasion == second.occasion == third.occasion


async def test_eight_tries_within_a_day_and_then_an_event(
    autojump_clock: object, seldom: None
) -> None:
    async with post() as here:
        here.note.body = failing(*[ActionFailed(f"no {n}") for n in range(20)])
        await here.fire("r", "a", event={"causation_depth": 3})
        await trio.sleep(3 * DAY_S)
        (event,) = await here.failures()
    assert len(here.note.tries) == MAX_TRIES == 8
    took = here.note.tries[-1].at - here.note.tries[0].at
    assert sum(PAUSES_S) / 2 <= took <= sum(PAUSES_S) + 8 * service.LOOK_S < DAY_S
    assert (event.subject, event.correlation_id, event.causation_depth) == ("trigger/r", "r", 4)
    assert event.data == {
        "rule": "r", "fire": 1, "action": "note", "tries": 8, "error": "no 7",
        "delivery": here.note.tries[0].occasion.delivery,
    }  # fmt: skip


async def test_a_failure_that_cannot_pass_is_tried_once(autojump_clock: object) -> None:
    async with post() as here:
        here.note.body = failing(ActionFailed("refused", again=False))
        await here.fire("r", "a")
        await trio.sleep(HOUR_S)
        (event,) = await here.failures()
    assert len(here.note.tries) == 1
    assert (event.data["tries"], event.data["error"]) == (1, "refused")


@pytest.mark.parametrize(("asked", "least", "most"), [(30.0, 30, 36), (9e9, 3600, 3606)])
async def test_a_receiver_may_ask_for_a_longer_pause_up_to_an_hour(
    autojump_clock: object, asked: float, least: float, most: float
) -> None:
    async with post() as here:
        here.note.body = failing(ActionFailed("later", after_s=asked))
        await here.fire("r", "a")
        await trio.sleep(2 * HOUR_S)
    first, second = here.note.tries
    assert least <= second.at - first.at <= most


async def test_pauses_grow_and_are_spread() -> None:
    for attempt, longest in enumerate(PAUSES_S, 1):
        drawn = [pause_s(attempt) for _ in range(200)]
        assert longest / 2 <= min(drawn) < max(drawn) <= longest
    assert pause_s(99) <= PAUSES_S[-1]


async def test_a_delivery_is_named_for_its_fire_not_for_its_try() -> None:
    delivery = Delivery(3, "r", 7, "note", "{}", "{}", 1)
    again = Delivery(3, "r", 7, "note", "{}", "{}", 2)
    restored = START + timedelta(seconds=1)
    assert delivery_id(delivery, START) == delivery_id(again, START)
    assert delivery_id(delivery, START) != delivery_id(delivery, restored)


# -- actions that misbehave ------------------------------------------------------------------------


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    "error", [ValueError("odd"), SystemExit(3), Mute(), ExceptionGroup("both", [KeyError("a")])]
)
async def test_whatever_an_action_raises_is_its_own_failure(
    autojump_clock: object, seldom: None, error: BaseException
) -> None:
    raised = []

    async def body(occasion: Occasion) -> None:
        if occasion.rule == "bad":
            raised.append(1)
            raise error

    async with post() as here:
        here.note.body = body
        await here.fire("bad", "a")
        await here.fire("good", "b")
        await trio.sleep(2 * DAY_S)
        (event,) = await here.failures()
    assert (event.data["rule"], len(raised)) == ("bad", MAX_TRIES)
    assert here.note.texts().count("b") == 1


async def test_an_action_that_hangs_is_stopped_and_tried_again(autojump_clock: object) -> None:
    hung = []

    async def body(occasion: Occasion) -> None:
        if not hung:
            hung.append(1)
            await trio.sleep_forever()

    async with post() as here:
        here.note.body = body
        await here.fire("r", "a")
        await trio.sleep(HOUR_S)
    first, second = here.note.tries
    assert service.TRY_S <= second.at - first.at <= service.TRY_S + 2


async def test_an_action_that_is_not_there_is_given_up_after_a_day(
    autojump_clock: object, seldom: None
) -> None:
    async with post() as here:
        await here.fire("r", "a", action="gone")
        await here.fire("r", "b")
        await trio.sleep(2 * DAY_S)
        (event,) = await here.failures()
    assert (event.data["tries"], event.data["error"]) == (8, "there is no action gone")
    assert here.note.texts() == ["b"]


async def test_parameters_that_do_not_fit_are_not_tried_again(autojump_clock: object) -> None:
    class Strict(Note):
        name = "strict"

    class Number(BaseModel):
        text: int

    Strict.parameters = Number
    async with post() as here:
        here.actions["strict"] = Strict()
        await here.fire("r", "words", action="strict")
        await trio.sleep(HOUR_S)
        (event,) = await here.failures()
    assert event.data["tries"] == 1
    assert event.data["error"].startswith("text: Input should be a valid integer")


async def test_an_occasion_that_cannot_be_read_hurts_nobody_else(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with post() as here:
        with monkeypatch.context() as patch:
            patch.setitem(globals(), "occasion_text", lambda occasion: "{}")
            await here.fire("r", "a")
        await here.fire("r", "b")
        await trio.sleep(HOUR_S)
        (event,) = await here.failures()
    assert "cannot be read" in event.data["error"]
    assert here.note.texts() == ["b"]


# -- nobody is held up -----------------------------------------------------------------------------


async def test_a_slow_rule_takes_four_places_and_the_others_go_on(autojump_clock: object) -> None:
    async def body(occasion: Occasion) -> None:
        if occasion.rule == "slow":
            await trio.sleep(10)

    async with post() as here:
        here.note.body = body
        await here.fire("slow", *[f"s{n}" for n in range(100)])
        await trio.sleep(1)
        began = trio.current_time()
        for n in range(20):
            await here.fire("quick", f"q{n}")
        await trio.sleep(1)
        quick = [done for done in here.note.tries if done.occasion.rule == "quick"]
        assert len(quick) == 20
        assert max(done.at for done in quick) - began < 1
        await trio.sleep(300)
    assert here.note.most["slow"] == service.PER_RULE == 4
    slow = [done.text for done in here.note.tries if done.occasion.rule == "slow"]
    assert sorted(slow) == sorted(f"s{n}" for n in range(100)), "each once, none in vain"
    assert here.note.tries[-1].at <= 100 / 4 * 10 + 1


async def test_sixteen_are_done_at_once_at_most(autojump_clock: object) -> None:
    async def body(occasion: Occasion) -> None:
        await trio.sleep(1)

    async with post() as here:
        here.note.body = body
        for n in range(10):
            await here.fire(f"rule-{n}", *"abcdef")
        await trio.sleep(60)
    assert len(here.note.tries) == 60
    assert here.note.most[""] == service.AT_ONCE == 16
    assert max(count for rule, count in here.note.most.items() if rule) == 4


async def test_with_nothing_due_there_is_a_look_in_five_seconds_and_no_more(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with post() as here:
        looks = []
        claim = here.store.claim_deliveries

        async def counted(**given: Any) -> list[Delivery]:
            looks.append(1)
            return await claim(**given)

        monkeypatch.setattr(here.store, "claim_deliveries", counted)
        await trio.sleep(500)
    assert 99 <= len(looks) <= 101


# -- the store in trouble ----------------------------------------------------------------------------


async def test_a_store_that_cannot_note_the_end_is_asked_again(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with post() as here:
        end, left = here.store.end_delivery, [1, 1, 1]

        async def full_at_first(*given: Any, **named: Any) -> None:
            if left:
                left.pop()
                raise StorageFull("no space")
            await end(*given, **named)

        monkeypatch.setattr(here.store, "end_delivery", full_at_first)
        await here.fire("r", "a")
        await trio.sleep(HOUR_S)
    assert left == []
    assert here.note.texts() == ["a"], "what was done is not done again"


async def test_a_store_that_gives_nothing_out_is_asked_again(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with post() as here:
        claim, left = here.store.claim_deliveries, [1, 1, 1]

        async def full_at_first(**given: Any) -> list[Delivery]:
            if left:
                left.pop()
                raise StorageFull("no space")
            return await claim(**given)

        monkeypatch.setattr(here.store, "claim_deliveries", full_at_first)
        await here.fire("r", "a")
        await trio.sleep(60)
    assert here.note.texts() == ["a"]


# -- a real store ------------------------------------------------------------------------------------


async def test_on_sqlite_what_is_due_is_done_and_nothing_is_written_while_idle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "LOOK_S", 0.05)
    clock = SystemClock()
    store = create_store("", data_dir=tmp_path, clock=clock)
    async with post(store, clock) as here:
        here.note.body, ended = failing(ActionFailed("busy")), trio.Event()
        end = store.end_delivery

        async def told(number: int, state: DeliveryState, **given: Any) -> None:
            await end(number, state, **given)
            if state is DeliveryState.DELIVERED:
                ended.set()

        monkeypatch.setattr(store, "end_delivery", told)
        await here.fire("r", "a")
        with trio.fail_after(10):
            await ended.wait()
        await trio.sleep(0.2)
        before = sizes(tmp_path)
        await trio.sleep(0.5)
        assert sizes(tmp_path) == before
    assert here.note.tries[0].occasion == here.note.tries[1].occasion


def sizes(folder: Path) -> dict[str, tuple[int, int]]:
    found = {path.name: path.stat() for path in folder.glob("flowdapt.db*")}
    # The shared memory of the WAL is no file that grows or is synced.
    return {n: (s.st_size, s.st_mtime_ns) for n, s in found.items() if not n.endswith("-shm")}


DAEMON = """
import sys
from pathlib import Path
import trio
from flowdapt.services import deliveries
from tests.services import test_deliveries as t

deliveries.LEASE_S, deliveries.LOOK_S = 1.0, 0.1
folder, first = Path(sys.argv[1]), sys.argv[2] == "first"

async def body(occasion):
    with (folder / "witness").open("a") as file:
        file.write(occasion.delivery + "\\n")

async def main():
    clock = t.SystemClock()
    async with t.post(t.create_store("", data_dir=folder, clock=clock), clock) as here:
        here.note.body = body
        if first:
            await here.fire("r", "a")
        with trio.move_on_after(10 if first else 3):
            await trio.sleep_forever()

trio.run(main)
"""


@pytest.mark.parametrize(
    ("point", "done_before"), [("delivery.before_perform", 0), ("delivery.after_perform", 1)]
)
async def test_a_kill_between_doing_and_noting_repeats_the_same_delivery(
    tmp_path: Path, point: str, done_before: int
) -> None:
    def run(which: str, **environment: str) -> int:
        command = [sys.executable, "-c", DAEMON, str(tmp_path), which]
        root = Path(__file__).parents[2]
        return subprocess.run(
            command, cwd=root, env=os.environ | environment, timeout=60, check=False
        ).returncode

    def witnessed() -> list[str]:
        file = tmp_path / "witness"
        return file.read_text().split() if file.exists() else []

    assert run("first", FLOWDAPT_FAILPOINT=f"{point}:kill") == -9
    assert len(witnessed()) == done_before
    assert run("second") == 0
    assert len(witnessed()) == done_before + 1
    assert len(set(witnessed())) == 1
