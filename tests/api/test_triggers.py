"""Trigger rules over REST: at a glance, their instants and decisions, fired by hand, paused, tested."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import trio

from flowdapt.domain.events import EventDraft
from flowdapt.domain.resource import Metadata, Resource
from flowdapt.ports.store import ResourceWrite

if TYPE_CHECKING:
    from flowdapt.domain.events import Event
    from flowdapt.domain.task import Outcome, TaskCall
    from flowdapt.ports.executor import Emit
    from tests.api.backends import Api

pytestmark = pytest.mark.trio
RUN_FLOW = {"target": "run_workflow", "parameters": {"workflow": "flow"}}
ON_LOSS = {
    "and": [
        {"eq": [{"var": "type"}, "model.ready"]},
        {"lt": [{"var": "data.loss"}, 0.5]},
    ]
}
TAKES_LOSS = {
    "target": "run_workflow",
    "parameters": {"workflow": "flow", "input": {"loss": {"var": "data.loss"}}},
}


async def rule(api: Api, name: str = "nightly", **spec: Any) -> dict[str, Any]:
    given = {"type": "schedule", "rule": ["0 3 * * *"], "actions": [RUN_FLOW], **spec}
    document = {"kind": "trigger_rule", "metadata": {"name": name}, "spec": given}
    answer = await api.client.post("/api/v1/apply", json=[document])
    assert answer.status_code == 200, answer.text
    (applied,) = answer.json()["items"]
    found: dict[str, Any] = applied
    return found


async def on_loss(api: Api) -> None:
    await rule(api, "low", type="condition", rule=ON_LOSS, actions=[TAKES_LOSS], overlap="allow")


async def ready(api: Api, loss: float) -> Event:
    return await api.backend.store.add_event(
        EventDraft("model.ready", "m", json.dumps({"loss": loss}))
    )


async def asked(
    api: Api, method: str, path: str, body: Any = None, status: int = 200
) -> dict[str, Any]:
    answer = await api.client.request(method, f"/api/v1/{path}", json=body)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def hang(_call: TaskCall, _emit: Emit) -> Outcome:
    await trio.sleep_forever()
    raise AssertionError


# -- at a glance ---------------------------------------------------------------------------------------


async def test_a_page_of_rules_tells_each_in_words_with_its_state(api: Api) -> None:
    await rule(api, timezone="Europe/Berlin", description="train anew")
    await rule(api, "off", enabled=False)
    await on_loss(api)
    await api.client.post("/api/v1/triggers/low/pause", json={"reason": "holidays"})
    page = await asked(api, "GET", "trigger-status")
    low, nightly, off = page["items"]
    assert page["next"] is None
    assert (low["state"], low["paused_reason"]) == ("paused", "holidays")
    assert low["words"] == 'when (type eq "model.ready") and (data.loss lt 0.5)'
    assert (low["next_at"], low["per_day"]) == (None, None)
    assert (nightly["state"], nightly["overlap"], nightly["per_day"]) == ("armed", "forbid", 1)
    assert nightly["words"] == "at 03:00 every day (Europe/Berlin)"
    assert nightly["actions"] == ["run_workflow flow"]
    assert datetime.fromisoformat(nightly["next_at"]) > datetime.now(UTC)
    assert (off["state"], off["next_at"]) == ("disabled", None)
    assert await asked(api, "GET", "triggers/nightly/status") == nightly


async def test_rules_come_page_by_page_and_by_a_part_of_their_name(api: Api) -> None:
    for name in ("a", "b", "ab"):
        await rule(api, name)
    first = await asked(api, "GET", "trigger-status?limit=2")
    rest = await asked(api, "GET", f"trigger-status?limit=2&cursor={first['next']}")
    assert [one["name"] for one in first["items"] + rest["items"]] == ["a", "ab", "b"]
    found = await asked(api, "GET", "trigger-status?q=b")
    assert [one["name"] for one in found["items"]] == ["ab", "b"]


async def test_a_stored_rule_that_means_nothing_is_listed_with_the_reason(api: Api) -> None:
    await rule(api)
    spec = {"type": "schedule", "rule": ["nonsense"], "actions": [RUN_FLOW]}
    await api.backend.store.apply(
        [ResourceWrite(Resource(kind="trigger_rule", metadata=Metadata(name="bad"), spec=spec))]
    )
    bad, good = (await asked(api, "GET", "trigger-status"))["items"]
    assert (bad["state"], good["state"]) == ("broken", "armed")
    assert "this one has 1" in bad["broken"]
    for method, path in (("GET", "next"), ("POST", "fire"), ("POST", "pause"), ("POST", "test")):
        refused = await asked(api, method, f"triggers/bad/{path}", status=422)
        assert refused["code"] == "trigger.broken"


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "status"), ("GET", "next"), ("GET", "fires"), ("POST", "fire"), ("POST", "pause"),
     ("POST", "resume"), ("POST", "test")],
)  # fmt: skip
async def test_an_unknown_rule_is_not_found_with_the_nearest(
    api: Api, method: str, path: str
) -> None:
    await rule(api)
    answer = await asked(api, method, f"triggers/nightli/{path}", status=404)
    assert (answer["code"], answer["fix"]) == ("resource.not_found", "did you mean 'nightly'?")


# -- instants ------------------------------------------------------------------------------------------


async def test_the_next_instants_are_told_in_words_and_number(api: Api) -> None:
    await rule(api, timezone="Europe/Berlin", rule=["0 3 * * *", "0 4 * * *"])
    found = await asked(api, "GET", "triggers/nightly/next?n=4")
    instants = [datetime.fromisoformat(one) for one in found["next"]]
    assert (found["per_day"], found["timezone"]) == (2, "Europe/Berlin")
    assert len(instants) == 4
    assert instants == sorted(instants)
    assert instants[2] - instants[0] in (
        timedelta(hours=23),
        timedelta(days=1),
        timedelta(hours=25),
    )
    assert len((await asked(api, "GET", "triggers/nightly/next?n=1000"))["next"]) == 1000
    await asked(api, "GET", "triggers/nightly/next?n=1001", status=422)


async def test_a_condition_has_no_instants(api: Api) -> None:
    await on_loss(api)
    answer = await asked(api, "GET", "triggers/low/next", status=409)
    assert answer["code"] == "trigger.no_times"


# -- by hand -------------------------------------------------------------------------------------------


async def test_a_fire_by_hand_starts_the_run_and_is_in_the_history(api: Api) -> None:
    await api.apply()
    await rule(api)
    fire = await asked(api, "POST", "triggers/nightly/fire", status=202)
    run = await asked(api, "GET", f"runs/{fire['runs'][0]}")
    assert (fire["state"], fire["kind"], fire["scheduled_at"]) == ("started", "manual", None)
    assert (run["source"], run["trigger_rule"]) == ("trigger", "nightly")
    page = await asked(api, "GET", "triggers/nightly/fires")
    assert page == {"items": [fire], "next": None}
    glance = await asked(api, "GET", "triggers/nightly/status")
    assert glance["last"] == glance["last_started"] == fire
    listed = await asked(api, "GET", "runs?trigger=nightly")
    assert [one["uid"] for one in listed["items"]] == fire["runs"]
    assert (await asked(api, "GET", "runs?trigger=other"))["items"] == []


async def test_an_event_fills_the_input_whole_or_by_cursor_or_by_id(api: Api) -> None:
    await api.apply()
    await on_loss(api)
    event = await ready(api, 0.25)
    for chosen in ({"type": "x", "data": {"loss": 0.25}}, event.cursor, event.id):
        fire = await asked(api, "POST", "triggers/low/fire", {"event": chosen}, 202)
        run = await asked(api, "GET", f"runs/{fire['runs'][0]}")
        assert run["input"] == {"loss": 0.25}
    assert len((await asked(api, "GET", "triggers/low/fires"))["items"]) == 3


async def test_an_event_that_is_not_there_is_not_found(api: Api) -> None:
    await on_loss(api)
    for chosen in (10_000, "nowhere"):
        answer = await asked(api, "POST", "triggers/low/fire", {"event": chosen}, 404)
        assert answer["code"] == "event.not_found"


async def test_a_fire_that_cannot_start_is_answered_and_kept_as_failed(api: Api) -> None:
    await rule(api)
    fire = await asked(api, "POST", "triggers/nightly/fire")
    assert (fire["state"], fire["reason"], fire["runs"]) == ("failed", "resource.not_found", [])
    assert "there is no workflow 'flow'" in fire["error"]
    failed = await asked(api, "GET", "triggers/nightly/fires?state=failed")
    assert failed["items"] == [fire]
    assert (await asked(api, "GET", "triggers/nightly/fires?state=started"))["items"] == []
    assert (await asked(api, "GET", "triggers/nightly/status"))["failures"] == 1


async def test_overlap_holds_for_fires_by_hand(api: Api) -> None:
    await api.apply()
    api.executor.bodies["some.module.stage"] = hang
    await rule(api)
    await rule(api, "queues", overlap="queue_one")
    for name, expected in (("nightly", "skipped"), ("queues", "waiting")):
        await asked(api, "POST", f"triggers/{name}/fire", status=202)
        status = 200 if expected == "skipped" else 202
        second = await asked(api, "POST", f"triggers/{name}/fire", status=status)
        assert (second["state"], second["reason"]) == (expected, "overlap")
    glance = await asked(api, "GET", "triggers/nightly/status")
    assert (glance["last"]["state"], glance["last_started"]["state"]) == ("skipped", "started")


async def test_nothing_is_fired_while_the_daemon_drains(api: Api) -> None:
    await api.apply()
    await rule(api)
    api.backend.health.draining = True
    answer = await asked(api, "POST", "triggers/nightly/fire", status=503)
    assert answer["code"] == "daemon.draining"
    api.backend.health.draining = False
    assert (await asked(api, "GET", "triggers/nightly/fires"))["items"] == []


@pytest.mark.parametrize(
    "body",
    [{"event": True}, {"event": 0}, {"event": ""}, {"event": [1]}, {"events": 1}, [],
     {"event": {"type": 3}}, {"event": {"correlation_id": 3}}, {"event": {"causation_depth": -1}},
     {"event": {"causation_depth": False}}, {"event": {"run": 3}}],
)  # fmt: skip
async def test_an_odd_choice_of_an_event_is_refused(api: Api, body: Any) -> None:
    await on_loss(api)
    for call in ("fire", "test"):
        await asked(api, "POST", f"triggers/low/{call}", body, 422)
    assert (await asked(api, "GET", "triggers/low/fires"))["items"] == []


async def test_the_history_comes_page_by_page_newest_first(api: Api) -> None:
    await api.apply()
    await rule(api, overlap="allow")
    for _ in range(3):
        await asked(api, "POST", "triggers/nightly/fire", status=202)
    first = await asked(api, "GET", "triggers/nightly/fires?limit=2")
    rest = await asked(api, "GET", f"triggers/nightly/fires?limit=2&cursor={first['next']}")
    numbers = [one["number"] for one in first["items"] + rest["items"]]
    assert numbers == sorted(numbers, reverse=True)
    assert len(numbers) == 3


async def test_a_deleted_rule_keeps_its_history(api: Api) -> None:
    await api.apply()
    await rule(api)
    await asked(api, "POST", "triggers/nightly/fire", status=202)
    await asked(api, "DELETE", "triggers/nightly")
    assert len((await asked(api, "GET", "triggers/nightly/fires"))["items"]) == 1
    await asked(api, "GET", "triggers/nightly/status", status=404)


# -- pause ---------------------------------------------------------------------------------------------


async def test_pause_and_resume_are_idempotent_and_told_in_the_journal(api: Api) -> None:
    await rule(api)
    for reason in ("first", "second"):
        paused = await asked(api, "POST", "triggers/nightly/pause", {"reason": reason})
        assert (paused["state"], paused["paused_reason"]) == ("paused", "first")
        assert paused["next_at"] is None
    for _ in range(2):
        resumed = await asked(api, "POST", "triggers/nightly/resume")
        assert (resumed["state"], resumed["paused_reason"]) == ("armed", None)
    events = (await asked(api, "GET", "events"))["items"]
    told = [one["type"] for one in events if ".trigger." in one["type"]]
    assert told == ["com.event.trigger.paused", "com.event.trigger.resumed"]


async def test_a_paused_rule_is_fired_by_hand_all_the_same(api: Api) -> None:
    await api.apply()
    await rule(api)
    await asked(api, "POST", "triggers/nightly/pause")
    fire = await asked(api, "POST", "triggers/nightly/fire", status=202)
    assert fire["state"] == "started"


# -- tests ---------------------------------------------------------------------------------------------


async def test_a_test_tells_clause_by_clause_why_a_rule_would_not_fire(api: Api) -> None:
    await api.apply()
    await on_loss(api)
    event = await ready(api, 0.75)
    found = await asked(api, "POST", "triggers/low/test", {"event": event.cursor})
    assert (found["holds"], found["fires"]) == (False, False)
    assert [one["held"] for one in found["clause"]["children"]] == [True, False]
    assert found["clause"]["children"][1]["reason"] == "data.loss is 0.75"
    assert found["event"]["id"] == event.id


async def test_a_test_shows_what_the_actions_would_be_given_and_changes_nothing(api: Api) -> None:
    await api.apply()
    await on_loss(api)
    before = (await asked(api, "GET", "events?limit=500"))["items"]
    given = {"event": {"type": "model.ready", "data": {"loss": 0.1}}}
    found = await asked(api, "POST", "triggers/low/test", given)
    assert (found["fires"], found["obstacles"]) == (True, [])
    (action,) = found["actions"]
    assert action["parameters"] == {"workflow": "flow", "input": {"loss": 0.1}}
    assert (await asked(api, "GET", "events?limit=500"))["items"] == before
    assert (await asked(api, "GET", "runs"))["items"] == []
    assert await api.backend.store.list_rule_states() == {}


async def test_a_test_names_everything_that_would_keep_a_rule_from_starting(api: Api) -> None:
    await api.apply()
    api.executor.bodies["some.module.stage"] = hang
    missing = {"target": "run_workflow", "parameters": {"workflow": {"var": "data.who"}}}
    await rule(
        api, "low", type="condition", rule=ON_LOSS, actions=[RUN_FLOW, missing], enabled=False
    )
    await rule(api, "open", type="condition", rule=ON_LOSS)
    await asked(api, "POST", "triggers/open/fire", status=202)
    await asked(api, "POST", "triggers/low/pause", {"reason": "holidays"})
    event = {"type": "model.ready", "data": {"loss": 0.1}, "causation_depth": 8}
    low = await asked(api, "POST", "triggers/low/test", {"event": event})
    assert (low["holds"], low["fires"]) == (True, False)
    disabled, paused, action, loop = low["obstacles"]
    assert "disabled" in disabled
    assert "holidays" in paused
    assert "the event has no data.who" in action
    assert "loop" in loop
    opened = await asked(
        api, "POST", "triggers/open/test", {"event": event | {"causation_depth": 0}}
    )
    assert "is still open (overlap: forbid)" in opened["obstacles"][0]


async def test_a_condition_is_tested_on_the_newest_event_of_its_types(api: Api) -> None:
    await api.apply()
    await on_loss(api)
    without = await asked(api, "POST", "triggers/low/test", status=422)
    assert without["code"] == "trigger.no_event"
    await ready(api, 0.9)
    newest = await ready(api, 0.1)
    await rule(api, "later")
    found = await asked(api, "POST", "triggers/low/test")
    assert (found["event"]["id"], found["fires"]) == (newest.id, True)


async def test_a_schedule_is_tested_on_no_event(api: Api) -> None:
    await rule(api)
    with_one = await asked(api, "POST", "triggers/nightly/test", {"event": 1}, 422)
    assert with_one["code"] == "trigger.no_condition"


async def test_a_schedule_is_tested_at_this_moment(api: Api) -> None:
    await api.apply()
    await rule(api)
    await rule(api, "often", type="interval", rule={"every": "1s"}, overlap="allow")
    nightly = await asked(api, "POST", "triggers/nightly/test")
    assert (nightly["fires"], nightly["due"]) == (False, [])
    assert datetime.fromisoformat(nightly["next_at"]) > datetime.now(UTC)
    for _ in range(100):
        # Nobody fires here: what is due stays due.
        often = await asked(api, "POST", "triggers/often/test")
        if often["due"]:
            break
        await trio.sleep(0.05)
    assert often["fires"]
    assert often["actions"][0]["parameters"] == {"workflow": "flow"}
