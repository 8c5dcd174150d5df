"""Executors over REST: profiles, workers, checks, the switch, and everything that is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio

from flowdapt.domain.finding import Finding
from flowdapt.ports.executor import Capacity, Scale, WorkerInfo
from flowdapt.testing import FakeExecutor

if TYPE_CHECKING:
    import httpx

    from tests.api.backends import Api

ROOT = "/api/v1/executors"
SKEW = Finding(
    what="plugin nowcast", level="failed", code="executor.plugin_skew",
    words="plugin nowcast 0.4.1 here, 0.3.9 on 2 of 6 workers", fix="install nowcast==0.4.1",
)  # fmt: skip


class Cluster(FakeExecutor):
    """A fake with two workers that scales."""

    def __init__(self) -> None:
        super().__init__(capacity=Capacity(None, cpus=24.0, gpus=2.0, custom={"tpu": 1.0}))
        self.size = Scale(2, 1, 4)

    def workers(self) -> list[WorkerInfo]:
        return [
            WorkerInfo("tcp://a:1", "busy", 7, "k", 1024, {"host": "a"}),
            WorkerInfo("b", "idle"),
        ]


def clusters(api: Api, make: Any = Cluster) -> list[Cluster]:
    """Let profiles of kind dask be made by the test; return those that were made."""
    made: list[Cluster] = []

    def one(_options: dict[str, Any]) -> Cluster:
        made.append(make())
        return made[-1]

    api.kinds.makers["dask"] = one
    return made


async def add(api: Api, name: str = "lab", **more: Any) -> httpx.Response:
    body = {"name": name, "kind": "dask", "options": {"address": "tls://10.0.0.5:8786"}} | more
    return await api.client.post(ROOT, json=body)


async def use(api: Api, name: str = "lab", **more: Any) -> httpx.Response:
    return await api.client.put("/api/v1/active-executor", json={"name": name, **more})


# -- profiles --------------------------------------------------------------------------------------------


@pytest.mark.trio
async def test_built_in_executors_are_there_from_the_start(api: Api) -> None:
    items = (await api.client.get(ROOT)).json()["items"]
    assert [(one["name"], one["built_in"], one["active"]) for one in items] == [
        ("dask", True, False), ("local", True, True), ("ray", True, False)
    ]  # fmt: skip
    assert [one["state"] for one in items] == ["closed", "ready", "closed"]


@pytest.mark.trio
async def test_an_executor_is_added_shown_and_forgotten(api: Api) -> None:
    made = await add(api)
    assert made.status_code == 201
    assert made.headers["location"] == f"{ROOT}/lab"
    assert made.json()["options"] == {"address": "tls://10.0.0.5:8786"}
    assert (await api.client.get(f"{ROOT}/lab")).json() == made.json()
    assert [one["name"] for one in (await api.client.get(ROOT)).json()["items"]] == [
        "dask", "lab", "local", "ray"
    ]  # fmt: skip
    assert (await api.client.delete(f"{ROOT}/lab")).status_code == 204
    assert (await api.client.get(f"{ROOT}/lab")).status_code == 404


@pytest.mark.trio
async def test_a_secret_in_the_options_is_not_given_out(api: Api) -> None:
    options = {"password": "hunter2", "token": "${secret:LAB}", "address": "tls://u:pw@h:1"}
    await add(api, options=options)
    shown = (await api.client.get(f"{ROOT}/lab")).json()["options"]
    assert "hunter2" not in str(shown)
    assert "pw" not in shown["address"]
    assert shown["token"] == "${secret:LAB}"


@pytest.mark.trio
@pytest.mark.parametrize(
    ("body", "status", "code", "loc"),
    [
        ({"kind": "dusk"}, 422, "plugin.unknown_kind", None),
        ({"options": {"wrong": 1}}, 422, "executor.invalid_options", None),
        ({"name": "local"}, 409, "executor.exists", None),
        ({"name": "dask"}, 409, "executor.exists", None),
        ({"name": "Lab One"}, 422, "name.invalid", ["name"]),
        ({"name": "-"}, 422, "name.invalid", ["name"]),
        ({"kind": ""}, 422, "request.invalid", ["kind"]),
        ({"optons": {}}, 422, "field.unknown", ["optons"]),
        ({"options": []}, 422, "request.invalid", ["options"]),
        ({"options": {f"o{n}": 1 for n in range(65)}}, 422, "request.invalid", ["options"]),
    ],
)
async def test_a_wrong_profile_is_refused_and_nothing_is_stored(
    api: Api, body: dict[str, Any], status: int, code: str, loc: list[str] | None
) -> None:
    refused = await add(api, **body)
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    if loc is not None:
        assert refused.json()["errors"][0]["loc"] == loc
    assert len((await api.client.get(ROOT)).json()["items"]) == 3


@pytest.mark.trio
async def test_a_slip_in_a_field_is_told_with_what_was_meant(api: Api) -> None:
    (found,) = (await add(api, optons={})).json()["errors"]
    assert found["suggestion"] == "options"


@pytest.mark.trio
async def test_a_name_is_taken_once(api: Api) -> None:
    await add(api)
    again = await add(api, options={})
    assert (again.status_code, again.json()["code"]) == (409, "executor.exists")
    assert (await api.client.get(f"{ROOT}/lab")).json()["options"] != {}


@pytest.mark.trio
@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_an_unknown_executor_is_not_found(api: Api, method: str) -> None:
    answer = await api.client.request(method, f"{ROOT}/lba")
    assert (answer.status_code, answer.json()["code"]) == (404, "executor.not_found")


@pytest.mark.trio
async def test_a_run_on_an_unknown_executor_is_told_which_was_meant(api: Api) -> None:
    await api.apply()
    await add(api)
    refused = await api.client.post("/api/v1/workflows/flow/runs", json={"executor": "lba"})
    assert (refused.status_code, refused.json()["code"]) == (404, "executor.not_found")
    assert refused.json()["fix"] == "did you mean 'lab'?"
    run = await api.run()
    refused = await api.client.post(f"/api/v1/runs/{run['uid']}/retry", json={"executor": "lba"})
    assert (refused.status_code, refused.json()["fix"]) == (404, "did you mean 'lab'?")
    again = await use(api, "loacl")
    assert again.json()["fix"] == "did you mean 'local'?"


@pytest.mark.trio
async def test_what_is_built_in_cannot_be_removed(api: Api) -> None:
    for name in ("local", "dask"):
        refused = await api.client.delete(f"{ROOT}/{name}")
        assert refused.status_code in (409, 422)
        assert refused.json()["fix"]


@pytest.mark.trio
async def test_the_active_executor_cannot_be_removed(api: Api) -> None:
    await add(api)
    await use(api)
    refused = await api.client.delete(f"{ROOT}/lab")
    assert (refused.status_code, refused.json()["code"]) == (409, "executor.in_use")
    await use(api, "-")
    assert (await api.client.delete(f"{ROOT}/lab")).status_code == 204


# -- looking ---------------------------------------------------------------------------------------------


@pytest.mark.trio
async def test_an_open_executor_tells_its_workers_and_how_it_scales(api: Api) -> None:
    clusters(api)
    await add(api)
    await use(api)
    found = (await api.client.get(f"{ROOT}/lab")).json()
    assert (found["state"], found["active"], found["slots"]) == ("ready", True, None)
    assert (found["cpus"], found["gpus"], found["resources"]) == (24.0, 2.0, {"tpu": 1.0})
    assert (found["workers"], found["minimum"], found["maximum"]) == (2, 1, 4)
    busy, idle = (await api.client.get(f"{ROOT}/lab/workers")).json()["items"]
    assert busy == {
        "name": "tcp://a:1", "state": "busy", "pid": 7, "task_key": "k", "rss_bytes": 1024,
        "details": {"host": "a"},
    }  # fmt: skip
    assert idle["state"] == "idle"


@pytest.mark.trio
async def test_a_closed_executor_has_no_workers(api: Api) -> None:
    await add(api)
    assert (await api.client.get(f"{ROOT}/lab/workers")).json() == {"items": []}
    assert (await api.client.get(f"{ROOT}/lba/workers")).status_code == 404


@pytest.mark.trio
async def test_a_check_tells_what_it_found_and_switches_nothing(api: Api) -> None:
    made = clusters(api)
    await add(api)
    answer = await api.client.post(f"{ROOT}/lab/check")
    assert answer.status_code == 200
    found = answer.json()
    assert (found["name"], found["passed"]) == ("lab", True)
    assert {row["level"] for row in found["findings"]} == {"ok"}
    assert (await api.client.get("/api/v1/status")).json()["executor"]["name"] == "local"
    assert len(made) == 1


@pytest.mark.trio
async def test_the_executor_before_is_checked_by_the_name_of_the_way_back(api: Api) -> None:
    clusters(api)
    await add(api)
    refused = await api.client.post(f"{ROOT}/-/check")
    assert (refused.status_code, refused.json()["code"]) == (409, "executor.no_way_back")
    await use(api)
    back, by_name = [
        (await api.client.post(f"{ROOT}/{name}/check")).json() for name in ("-", "local")
    ]
    assert back["name"] == by_name["name"] == "local"
    what = [[row["what"] for row in one["findings"]] for one in (back, by_name)]
    assert what[0] == what[1]
    assert (await api.client.get("/api/v1/status")).json()["executor"]["name"] == "lab"


@pytest.mark.trio
async def test_a_check_of_an_executor_that_cannot_be_opened_is_an_answer(api: Api) -> None:
    clusters(api, _Unreachable)
    await add(api)
    found = (await api.client.post(f"{ROOT}/lab/check")).json()
    assert found["passed"] is False
    (row,) = found["findings"]
    assert (row["level"], row["code"]) == ("failed", "executor.unavailable")
    assert "nobody listens" in row["words"]
    assert row["fix"]


class _Unreachable(Cluster):
    def __init__(self) -> None:
        super().__init__()
        self.opening = self._refuse

    async def _refuse(self) -> None:
        from flowdapt.domain.errors import ExecutorUnavailable

        await trio.lowlevel.checkpoint()
        raise ExecutorUnavailable("nobody listens at tls://10.0.0.5:8786")


# -- the switch ------------------------------------------------------------------------------------------


@pytest.mark.trio
async def test_a_switch_moves_what_is_started_afterwards_and_back_again(api: Api) -> None:
    made = clusters(api)
    await api.apply()
    await add(api)
    there = (await use(api)).json()
    assert (there["switched"], there["active"], there["previous"]) == (True, "lab", "local")
    assert (await api.run())["executor"] == "lab"
    assert [call.target for call in made[0].calls][-1] == "some.module.stage"
    back = (await use(api, "-")).json()
    assert (back["switched"], back["active"], back["previous"]) == (True, "local", "lab")
    assert (await api.run())["executor"] == "local"


@pytest.mark.trio
async def test_open_runs_stay_where_they_began_and_are_counted(api: Api) -> None:
    clusters(api)
    await api.apply()
    await add(api)
    began, gate = trio.Event(), trio.Event()

    async def wait(*_: object) -> Any:
        from flowdapt.domain.task import Finished
        from flowdapt.testing import json_value

        began.set()
        await gate.wait()
        return Finished(json_value(1))

    api.executor.bodies["some.module.stage"] = wait
    started = await api.client.post("/api/v1/workflows/flow/runs", json={})
    with trio.fail_after(10):
        await began.wait()
    there = (await use(api)).json()
    assert there["pinned"] == {"local": 1}
    gate.set()
    uid = started.json()["uid"]
    ended = await api.client.get(f"/api/v1/runs/{uid}", headers={"prefer": "wait=10"})
    assert (ended.json()["state"], ended.json()["executor"]) == ("finished", "local")


@pytest.mark.trio
async def test_a_failed_check_changes_nothing_unless_asked_to(api: Api) -> None:
    def skewed() -> Cluster:
        made = Cluster()
        made.findings = [SKEW]
        return made

    clusters(api, skewed)
    await add(api)
    answer = await use(api)
    assert answer.status_code == 200
    assert (answer.json()["switched"], answer.json()["active"]) == (False, "local")
    assert SKEW.model_dump() in answer.json()["findings"]
    anyway = (await use(api, keep_going=True)).json()
    assert (anyway["switched"], anyway["active"]) == (True, "lab")
    assert SKEW.model_dump() in anyway["findings"]


@pytest.mark.trio
async def test_what_cannot_be_opened_is_never_switched_to(api: Api) -> None:
    clusters(api, _Unreachable)
    await add(api)
    found = (await use(api, keep_going=True)).json()
    assert (found["switched"], found["active"]) == (False, "local")


@pytest.mark.trio
async def test_an_address_becomes_an_executor_of_its_own(api: Api) -> None:
    clusters(api)
    found = (await use(api, "dask://127.0.0.1:8786")).json()
    assert found["switched"]
    view = (await api.client.get(f"{ROOT}/{found['active']}")).json()
    assert (view["kind"], view["options"]["address"]) == ("dask", "dask://127.0.0.1:8786")
    assert (await use(api, "dask://127.0.0.1:8786")).json()["active"] == found["active"]


@pytest.mark.trio
@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"name": "lba"}, 404, "executor.not_found"),
        ({"name": "-"}, 409, "executor.no_way_back"),
        ({"name": ""}, 422, "request.invalid"),
        ({}, 422, "request.invalid"),
        ({"name": "x" * 513}, 422, "request.invalid"),
        ({"name": "dask://"}, 422, "executor.bad_address"),
        ({"name": "dask://h h:1"}, 422, "executor.bad_address"),
        ({"name": "dask://h:99999999"}, 422, "executor.bad_address"),
        ({"name": "http://h:1"}, 422, "plugin.unknown_kind"),
        ({"name": "local", "insecur": True}, 422, "field.unknown"),
        ({"name": "local", "insecure": "perhaps"}, 422, "request.invalid"),
        ({"name": 7}, 422, "request.invalid"),
        ({"name": "a\0b"}, 422, "document.bad_character"),
    ],
)
async def test_a_wrong_switch_is_refused_and_changes_nothing(
    api: Api, body: dict[str, Any], status: int, code: str
) -> None:
    refused = await api.client.put("/api/v1/active-executor", json=body)
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert (await api.client.get("/api/v1/status")).json()["executor"]["name"] == "local"


@pytest.mark.trio
async def test_bodies_are_read_as_strictly_as_everywhere(api: Api) -> None:
    answer = await api.client.put("/api/v1/active-executor", content=b"{")
    assert answer.status_code in (400, 415)
    answer = await api.client.put(
        "/api/v1/active-executor",
        content=b'{"name": "local", "name": "dask"}',
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 422
