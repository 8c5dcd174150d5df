"""Runs over REST: started once per key, waited for, looked at, cancelled, retried, deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from flowdapt.domain.task import ErrorInfo, Failed, Finished
from flowdapt.testing import json_value

if TYPE_CHECKING:
    from flowdapt.domain.task import Outcome, TaskCall
    from flowdapt.ports.executor import Emit
    from tests.api.backends import Api

pytestmark = pytest.mark.trio
RUNS = "/api/v1/workflows/flow/runs"


async def hang(_call: TaskCall, _emit: Emit) -> Outcome:
    await trio.sleep_forever()
    raise AssertionError


async def fail(_call: TaskCall, _emit: Emit) -> Outcome:
    return Failed(ErrorInfo("builtins.ValueError", "no"))


async def seven(_call: TaskCall, _emit: Emit) -> Outcome:
    return Finished(json_value(7))


async def test_a_submission_is_answered_at_once_with_its_place(api: Api) -> None:
    await api.apply()
    answer = await api.client.post(RUNS, json={"input": {}})
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/api/v1/runs/{answer.json()['uid']}"
    assert (await api.client.get(answer.headers["location"])).json()["workflow"] == "flow"


async def test_a_client_that_would_wait_gets_the_ended_run(api: Api) -> None:
    await api.apply()
    api.executor.bodies["some.module.stage"] = seven
    answer = await api.client.post(RUNS, json={}, headers={"Prefer": "respond-async, wait=10"})
    assert answer.status_code == 200
    assert answer.headers["preference-applied"] == "wait=10"
    run = answer.json()
    assert (run["state"], run["result"], run["stages"][0]["state"]) == ("finished", 7, "finished")


async def test_patience_ends_before_the_run_does(api: Api) -> None:
    await api.apply()
    api.executor.bodies["some.module.stage"] = hang
    answer = await api.client.post(RUNS, headers={"Prefer": "wait=0.2"})
    assert answer.status_code == 202
    assert answer.json()["state"] == "running"
    waited = await api.client.get(answer.headers["location"], headers={"Prefer": "wait=0.2"})
    assert waited.json()["state"] == "running"


async def test_the_same_key_and_body_name_the_same_run(api: Api) -> None:
    await api.apply()
    key = {"Idempotency-Key": "a-key:1"}
    first = await api.client.post(RUNS, json={"input": {"a": 1}}, headers=key)
    again = await api.client.post(RUNS, json={"input": {"a": 1}}, headers=key)
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json()["uid"] == again.json()["uid"]


async def test_the_same_key_with_another_body_is_a_conflict(api: Api) -> None:
    await api.apply()
    key = {"Idempotency-Key": "a-key"}
    await api.client.post(RUNS, json={"input": {"a": 1}}, headers=key)
    other = await api.client.post(RUNS, json={"input": {"a": 2}}, headers=key)
    assert (other.status_code, other.json()["code"]) == (409, "run.key_reused")


@pytest.mark.parametrize("key", ["", "a b", "k" * 129, "ä", "a/b"])
async def test_a_key_outside_its_alphabet_is_refused(api: Api, key: str) -> None:
    await api.apply()
    answer = await api.client.post(RUNS, headers={"Idempotency-Key": key.encode()})
    assert answer.status_code == 422


@pytest.mark.parametrize("field", ["state", "owner", "epoch", "uid", "created_at", "result"])
async def test_what_the_server_owns_cannot_be_sent(api: Api, field: str) -> None:
    await api.apply()
    answer = await api.client.post(RUNS, json={field: "x"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == [field]


async def test_a_misspelled_field_gets_a_suggestion(api: Api) -> None:
    await api.apply()
    answer = await api.client.post(RUNS, json={"inptu": {}})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["suggestion"] == "input"
    assert answer.headers["content-type"] == "application/problem+json"


async def test_an_unknown_workflow_is_not_found(api: Api) -> None:
    await api.apply("flow")
    answer = await api.client.post("/api/v1/workflows/flwo/runs")
    assert answer.status_code == 404
    assert "flow" in answer.text


async def test_lists_are_paged_and_filtered(api: Api) -> None:
    await api.apply()
    for _ in range(3):
        await api.run()
    first = (await api.client.get("/api/v1/runs", params={"limit": 2})).json()
    assert len(first["items"]) == 2
    rest = (await api.client.get("/api/v1/runs", params={"cursor": first["next"]})).json()
    assert len(rest["items"]) == 1
    assert rest["next"] is None
    failed = await api.client.get("/api/v1/runs", params={"state": ["failed", "cancelled"]})
    assert failed.json()["items"] == []


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 501}, {"limit": 0}, {"limit": "x"}, {"state": "odd"}, {"sort": "name"},
        {"since": "yesterday"}, {"since": "2026-01-01T00:00:00"}, {"cursor": "nonsense"},
        {"label": "novalue"}, {"q": "a\0b"}, {"lmit": 3},
    ],
)  # fmt: skip
async def test_a_wrong_query_is_refused(api: Api, query: dict[str, str]) -> None:
    answer = await api.client.get("/api/v1/runs", params=query)
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"]


async def test_an_unknown_query_parameter_gets_a_suggestion(api: Api) -> None:
    answer = await api.client.get("/api/v1/runs", params={"lmit": 3})
    assert answer.json()["errors"][0]["suggestion"] == "limit"


async def test_a_running_run_is_cancelled_and_an_ended_one_stays(api: Api) -> None:
    await api.apply()
    api.executor.bodies["some.module.stage"] = hang
    uid = (await api.client.post(RUNS)).json()["uid"]
    asked = await api.client.post(f"/api/v1/runs/{uid}/cancel")
    assert asked.status_code in (200, 202)
    ended = await api.client.get(f"/api/v1/runs/{uid}", headers={"Prefer": "wait=10"})
    assert ended.json()["state"] == "cancelled"
    again = await api.client.post(f"/api/v1/runs/{uid}/cancel")
    assert (again.status_code, again.json()["state"]) == (200, "cancelled")


async def test_a_failed_run_is_retried_as_a_new_one(api: Api) -> None:
    await api.apply()
    api.executor.bodies["some.module.stage"] = fail
    parent = await api.run()
    assert parent["error"]["message"] == "no"
    api.executor.bodies["some.module.stage"] = seven
    retried = await api.client.post(f"/api/v1/runs/{parent['uid']}/retry", json={})
    assert retried.status_code == 202
    ended = await api.client.get(retried.headers["location"], headers={"Prefer": "wait=10"})
    assert (ended.json()["state"], ended.json()["parent"]) == ("finished", parent["uid"])


async def test_the_result_comes_as_json_text(api: Api) -> None:
    await api.apply()
    api.executor.bodies["some.module.stage"] = seven
    run = await api.run()
    answer = await api.client.get(f"/api/v1/runs/{run['uid']}/result")
    assert (answer.status_code, answer.text) == (200, "7")


async def test_an_open_run_has_no_result_and_cannot_be_deleted(api: Api) -> None:
    await api.apply()
    api.executor.bodies["some.module.stage"] = hang
    uid = (await api.client.post(RUNS)).json()["uid"]
    assert (await api.client.get(f"/api/v1/runs/{uid}/result")).status_code == 409
    assert (await api.client.delete(f"/api/v1/runs/{uid}")).status_code == 409


async def test_a_deleted_run_is_gone(api: Api) -> None:
    await api.apply()
    run = await api.run()
    assert (await api.client.delete(f"/api/v1/runs/{run['uid']}")).status_code == 204
    assert (await api.client.get(f"/api/v1/runs/{run['uid']}")).status_code == 404


async def test_stages_items_metrics_events_and_reasons_can_be_read(api: Api) -> None:
    await api.apply()
    run = await api.run()
    base = f"/api/v1/runs/{run['uid']}"
    stages = (await api.client.get(f"{base}/stages")).json()["items"]
    assert [stage["name"] for stage in stages] == ["only"]
    assert (await api.client.get(f"{base}/stages/only/items")).json()["items"] == []
    assert (await api.client.get(f"{base}/stages/other/items")).status_code == 404
    assert (await api.client.get(f"{base}/metrics")).json() == {"items": []}
    assert isinstance((await api.client.get(f"{base}/explain")).json()["items"], list)
    events = (await api.client.get(f"{base}/events")).json()["items"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))


async def test_nothing_new_starts_while_the_daemon_drains(api: Api) -> None:
    await api.apply()
    api.backend.health.draining = True
    answer = await api.client.post(RUNS)
    assert (answer.status_code, answer.json()["code"]) == (503, "daemon.draining")
    assert "retry-after" in answer.headers
    assert (await api.client.get("/readyz")).status_code == 503
    assert (await api.client.get("/livez")).status_code == 204


@pytest.mark.parametrize("name", ["...", "a%2fb", "%252e%252e", "a:b", "$ALL", "a%00", "é", "a b"])
async def test_a_name_outside_its_alphabet_is_refused(api: Api, name: str) -> None:
    answer = await api.client.post(f"/api/v1/workflows/{name}/runs")
    assert answer.status_code in (404, 422), answer.text
    assert answer.json()["code"]
