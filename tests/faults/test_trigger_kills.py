"""A daemon killed while triggers fire: a fire and its runs are one, no slot and no event is met twice or lost."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.seeds import chosen_seed
from tests.waiting import eventually
from tests.workstation import stage, workflow, workstation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.workstation import Workstation

SOURCE = """
def tick():
    return {"loss": 0.5}

def use(loss):
    return loss
"""


def rule(name: str, kind: str, when: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    spec = {
        "type": kind,
        "rule": when,
        "overlap": "allow",
        "catch_up": "all",
        "actions": [{"target": "run_workflow", "parameters": parameters}],
    }
    return {"kind": "trigger_rule", "metadata": {"name": name}, "spec": spec}


FINISHED = {
    "and": [
        {"eq": [{"var": "type"}, "com.event.workflow.workflow_finished"]},
        {"eq": [{"var": "data.workflow"}, "tick"]},
        {"eq": [{"var": "data.state"}, "finished"]},
    ]
}
DOCUMENTS = [
    workflow("tick", stage("only", "user_modules.ticking.tick")),
    workflow("after", stage("only", "user_modules.ticking.use")),
    rule("every", "interval", {"every": "1s"}, {"workflow": "tick"}),
    rule(
        "chain",
        "condition",
        FINISHED,
        {"workflow": "after", "input": {"loss": {"var": "data.result.loss"}}},
    ),
]
POINTS = (
    "fire.before_store",
    "fire.before_runs",
    "fire.after_store",
    "commit.before_store",
    "commit.after_store",
)


@pytest.fixture
def station() -> Iterator[Workstation]:
    with workstation() as made:
        made.module("ticking", SOURCE)
        yield made


def rows(station: Workstation, query: str) -> list[tuple[Any, ...]]:
    connection = station.database()
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def settled(station: Workstation) -> bool:
    """Say whether every run has ended and every finished tick was met by the other rule."""
    ((unmet,),) = rows(
        station,
        "SELECT count(*) FROM event JOIN run ON run.id = event.run_id "
        "WHERE event.type = 'com.event.workflow.workflow_finished' AND run.workflow = 'tick' "
        "AND NOT EXISTS (SELECT 1 FROM fire WHERE rule = 'chain' AND event_id = event.id)",
    )
    ((still_open,),) = rows(
        station, "SELECT count(*) FROM run WHERE state NOT IN ('finished', 'failed', 'cancelled')"
    )
    return not unmet and not still_open


def check(station: Workstation) -> tuple[int, int]:
    """Hold fires and runs against each other; return how many slots and events were met."""
    fires = rows(station, "SELECT rule, state, scheduled_at, event_id, runs FROM fire ORDER BY id")
    assert {state for _, state, *_ in fires} == {"started"}
    runs = dict(rows(station, "SELECT uid, trigger_rule FROM run"))
    told = [uid for *_, listed in fires for uid in listed.strip("[]").replace('"', "").split(", ")]
    assert sorted(told) == sorted(runs), "each run belongs to one fire, and each fire has its run"
    slots = sorted(at for name, _, at, *_ in fires if name == "every")
    steps = {later - earlier for earlier, later in pairwise(slots)}
    assert steps <= {1_000_000}, "a slot is missing or came twice"
    events = [event for name, _, _, event, _ in fires if name == "chain"]
    ticks = sum(1 for name in runs.values() if name == "every")
    assert len(events) == len(set(events)) == ticks
    return len(slots), len(events)


def pause(station: Workstation) -> None:
    """Let the rules fire no more, and wait until what they started is met."""
    quiet = [{**one, "spec": {**one["spec"], "enabled": False}} for one in DOCUMENTS[2:3]]
    with station.client() as client:
        client.apply(quiet)
    eventually(lambda: settled(station), timeout_s=30, every_s=0.1, what="all events are met")


@pytest.mark.parametrize(
    "nth", [1, pytest.param(2, marks=pytest.mark.faults), pytest.param(5, marks=pytest.mark.faults)]
)
@pytest.mark.parametrize("point", POINTS)
def test_a_kill_while_firing_leaves_the_whole_fire_or_none(
    station: Workstation, point: str, nth: int
) -> None:
    station.start()
    with station.client() as client:
        client.apply(DOCUMENTS)
    eventually(lambda: rows(station, "SELECT 1 FROM fire WHERE rule = 'chain'"))
    station.kill()
    process = station.spawn(FLOWDAPT_FAILPOINT=f"{point}:kill@{nth}")
    assert process.wait(30) == -9
    station.start()
    before = datetime.now(UTC)
    eventually(lambda: datetime.now(UTC) - before > timedelta(seconds=1.5))
    pause(station)
    slots, events = check(station)
    assert slots >= 2
    assert events >= 2
    station.doctor()


def kills(station: Workstation, number: int, note: Callable[[str, object], None]) -> None:
    chance = random.Random(chosen_seed())
    station.start()
    with station.client() as client:
        client.apply(DOCUMENTS)
    for _ in range(number):
        process = station.spawn() if station.process is None else station.process
        time.sleep(chance.uniform(0.3, 2.5))
        process.kill()
        process.wait()
        station.process = None
    station.start()
    pause(station)
    slots, events = check(station)
    note(f"P8 slots and events met once, {number} kills", f"{slots} and {events}")
    station.doctor()


def test_ten_kills_lose_no_slot_and_no_event(
    station: Workstation, record_property: Callable[[str, object], None]
) -> None:
    kills(station, 10, record_property)


@pytest.mark.faults
def test_a_hundred_kills_lose_no_slot_and_no_event(
    station: Workstation, record_property: Callable[[str, object], None]
) -> None:
    kills(station, 100, record_property)
