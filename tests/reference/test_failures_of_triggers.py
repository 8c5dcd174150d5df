"""Where the earlier flowdapt's triggers failed: each failure is a test that this one does not."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from tests.waiting import eventually
from tests.workstation import stage, workflow, workstation

if TYPE_CHECKING:
    from flowdapt.client import Client
    from flowdapt.domain.fire import Fire
    from tests.workstation import Workstation

STAGES = """
    import time

    def one(x=1):
        return x

    def again(value):
        return value

    def sleep(seconds=60.0):
        time.sleep(seconds)
"""
ON_ONE = {
    "type": "condition",
    "rule": {
        "and": [
            {"eq": [{"var": "type"}, "com.event.workflow.workflow_finished"]},
            {"eq": [{"var": "data.workflow"}, "one"]},
            {"gt": [{"var": "data.result"}, 5]},
        ]
    },
}


def at(name: str, function: str) -> dict[str, Any]:
    return stage(name, f"user_modules.old.{function}")


def run_workflow(name: str, **given: Any) -> dict[str, Any]:
    return {"target": "run_workflow", "parameters": {"workflow": name, "input": given}}


def rule(name: str, timing: dict[str, Any], action: dict[str, Any], **more: Any) -> dict[str, Any]:
    spec = {**timing, "action": action, **more}
    return {"kind": "trigger_rule", "metadata": {"name": name}, "spec": spec}


def fired(client: Client, name: str) -> list[Fire]:
    """Return the started fires of a rule, oldest first."""
    return client.triggers.fires(name, state=["started"], limit=500).items[::-1]


def test_8_a_malformed_rule_silences_no_other_and_conditions_see_results() -> None:
    with workstation() as station:
        station.module("old", STAGES)
        station.start()
        rules = [
            rule(
                name, ON_ONE, run_workflow("again", value={"var": "data.result"}), description=name
            )
            for name in ("a-bad", "z-good")
        ]
        with station.client() as client:
            client.apply(
                [workflow("one", at("one", "one")), workflow("again", at("again", "again"))]
            )
            client.apply(rules)
        station.end()
        # As an earlier version may have stored it: today it would be refused.
        with closing(sqlite3.connect(next(station.home.rglob("flowdapt.db")))) as connection:
            connection.execute(
                'UPDATE document SET body = \'{"type": "condition", "rule": 3}\' WHERE digest = '
                "(SELECT digest FROM resource WHERE name = 'a-bad')"
            )
            connection.commit()
        station.start()
        with station.client() as client:
            assert client.run("one", {"x": 7}, wait=True).result == 7
            (fire,) = eventually(lambda: client.triggers.fires("z-good").items, what="it fires")
            assert client.runs.wait(fire.runs[0], timeout=20).result == 7
            bad, good = client.triggers.list().items
            assert (bad.state, good.state) == ("broken", "armed")
            assert client.status()["triggers"]["broken"] == 1
            assert any("'a-bad' means nothing" in one for one in client.status()["warnings"])


@pytest.mark.slow
def test_9_what_is_missed_while_down_is_made_up_for_or_told() -> None:
    with workstation() as station:
        station.module("old", STAGES)
        station.start()
        each_second = {"type": "interval", "rule": {"every": "1s"}, "overlap": "allow"}
        with station.client() as client:
            client.apply([workflow("one", at("one", "one"))])
            for name, catch_up in (("all", "all"), ("none", "none")):
                more = {"catch_up": catch_up, "misfire_grace": "1s"}
                client.apply([rule(name, each_second, run_workflow("one"), **more)])
            eventually(
                lambda: all(fired(client, name) for name in ("all", "none")), what="they fire"
            )
        station.kill()
        killed_at = time.monotonic()
        eventually(lambda: time.monotonic() > killed_at + 3.0, what="slots pass")
        station.start()
        with station.client() as client:
            eventually(lambda: len(fired(client, "all")) > 5, what="it goes on")
            (missed,) = eventually(
                lambda: client.triggers.fires("none", state=["missed"]).items, what="it is told"
            )
            slots = [fire.scheduled_at for fire in fired(client, "all")]
            made_up = [fire for fire in fired(client, "all") if fire.reason == "caught_up"]
        assert missed.slots >= 2
        assert len(made_up) >= 2
        assert slots == sorted(set(slots))
        assert {later - slot for slot, later in pairwise(slots)} == {timedelta(seconds=1)}
        station.doctor()


def test_9_a_schedule_has_a_zone_a_pause_and_a_rule_for_overlap(
    client: Client, station: Workstation
) -> None:
    station.module("old", STAGES)
    schedule = {"type": "schedule", "rule": ["0 3 * * *"], "timezone": "Europe/Berlin"}
    client.apply([
        workflow("long", at("sleep", "sleep")), rule("at-three", schedule, run_workflow("long")),
    ])  # fmt: skip
    berlin = ZoneInfo("Europe/Berlin")
    outlook = client.triggers.next("at-three", 400)
    assert {one.astimezone(berlin).strftime("%H:%M") for one in outlook.next} == {"03:00"}
    assert len({one.hour for one in outlook.next}) == 2, "summer and winter"
    assert client.triggers.pause("at-three", reason="holidays").state == "paused"
    first, second = client.triggers.fire("at-three"), client.triggers.fire("at-three")
    assert (first.state, second.state, second.reason) == ("started", "skipped", "overlap")
    client.runs.cancel(first.runs[0])
    assert client.triggers.resume("at-three").state == "armed"
