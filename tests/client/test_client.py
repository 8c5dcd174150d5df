"""The blocking client over httpx: what it sends, what it returns, what it does when a reply is lost."""

from __future__ import annotations

import gc
import json
import socket
from typing import TYPE_CHECKING

import pytest

from flowdapt.client import Client
from flowdapt.domain import errors
from flowdapt.domain.run import Run, RunState
from flowdapt.paths import find_paths
from tests.client.fake_daemon import FakeDaemon, answer, hang_up, problem, run, stream

if TYPE_CHECKING:
    from collections.abc import Iterator

SUBMIT = "/workflows/train/runs"


@pytest.fixture
def client(fake: FakeDaemon) -> Iterator[Client]:
    with Client() as client:
        yield client


def test_the_local_daemon_is_found_without_an_address(client: Client, fake: FakeDaemon) -> None:
    fake.on("GET", "/status", answer({"pid": 7}))
    assert client.status() == {"pid": 7}


def test_a_run_is_submitted_with_a_key_of_its_own(client: Client, fake: FakeDaemon) -> None:
    fake.on("POST", SUBMIT, answer(run(state="queued"), 202))
    found = client.run("train", {"n": 5}, executor="lab")
    assert isinstance(found, Run)
    assert found.state is RunState.QUEUED
    (asked,) = fake.asked
    assert asked.json() == {"input": {"n": 5}, "namespace": "default", "executor": "lab"}
    assert asked.headers["idempotency-key"]


def test_a_lost_reply_is_asked_for_again_with_the_same_key(
    client: Client, fake: FakeDaemon
) -> None:
    fake.on("POST", SUBMIT, hang_up(), hang_up(), answer(run(state="queued"), 202))
    assert client.run("train").name == run()["name"]
    keys = {asked.headers["idempotency-key"] for asked in fake.asked}
    assert len(fake.asked) == 3
    assert len(keys) == 1


def test_the_callers_key_is_kept(client: Client, fake: FakeDaemon) -> None:
    fake.on("POST", SUBMIT, answer(run()))
    client.run("train", key="mine")
    assert fake.asked[0].headers["idempotency-key"] == "mine"


def test_what_is_not_safe_to_repeat_is_not_repeated(client: Client, fake: FakeDaemon) -> None:
    fake.on("POST", "/backup", hang_up())
    with pytest.raises(errors.Unreachable):
        client.backup()
    assert len(fake.asked) == 1


@pytest.mark.filterwarnings("error::ResourceWarning")
@pytest.mark.parametrize("left", ["no socket", "a socket that nobody hears"])
def test_nobody_there_is_said_at_once_and_nothing_stays_open(
    flowdapt_home: object, left: str
) -> None:
    path = find_paths().socket
    if left != "no socket":
        path.parent.mkdir(parents=True)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    with pytest.raises(errors.Unreachable) as caught, Client() as client:
        client.status()
    assert caught.value.fix == "flowdapt up"
    del caught
    gc.collect()


def test_waiting_asks_until_the_run_has_ended(client: Client, fake: FakeDaemon) -> None:
    fake.on("POST", SUBMIT, answer(run(state="queued"), 202))
    fake.on("GET", f"/runs/{run()['uid']}", answer(run(state="running")), answer(run()))
    assert client.run("train", wait=True).result == {"loss": 0.5}
    assert all(asked.headers["prefer"].startswith("wait=") for asked in fake.asked)


def test_waiting_has_an_end(client: Client, fake: FakeDaemon) -> None:
    fake.on("GET", "/runs/x", answer(run(state="running")))
    with pytest.raises(errors.TimedOut, match="still running"):
        client.runs.wait("x", timeout=0)


def test_a_refusal_is_the_error_it_stands_for(client: Client, fake: FakeDaemon) -> None:
    fake.on("GET", "/runs/nope", problem(404, "not_found", "no such run", fix="flowdapt runs ls"))
    with pytest.raises(errors.NotFound) as caught:
        client.runs.get("nope")
    assert (caught.value.message, caught.value.fix) == ("no such run", "flowdapt runs ls")


def test_watching_goes_on_over_a_broken_connection(client: Client, fake: FakeDaemon) -> None:
    fake.on(
        "GET", "/runs/x/watch",
        lambda _: stream(("run", run(state="queued")), ("run", run(state="running")), cut=True),
        lambda _: stream(("run", run()), first_id=3),
    )  # fmt: skip
    states = [found.state.value for found in client.runs.watch("x")]
    assert states == ["queued", "running", "finished"]
    assert fake.asked[1].headers["last-event-id"] == "2"


def test_a_watch_that_is_refused_raises(client: Client, fake: FakeDaemon) -> None:
    fake.on("GET", "/runs/x/watch", problem(404, "not_found"))
    with pytest.raises(errors.NotFound):
        next(client.runs.watch("x"))


def test_documents_go_as_yaml_or_as_json(client: Client, fake: FakeDaemon) -> None:
    applied = {"kind": "workflow", "name": "w", "action": "created", "revision": 1}
    fake.on("POST", "/apply", answer({"items": [applied]}))
    assert client.apply("kind: workflow")[0].action == "created"
    assert client.apply([{"kind": "workflow"}], dry_run=True)[0].name == "w"
    yaml, plain = fake.asked
    assert (yaml.headers["content-type"], yaml.body) == ("application/yaml", b"kind: workflow")
    assert (plain.json(), plain.query) == ([{"kind": "workflow"}], {"dry_run": ["true"]})


def test_resources_are_read_as_resources(client: Client, fake: FakeDaemon) -> None:
    resource = {"kind": "config", "metadata": {"name": "c", "revision": 3}, "spec": {"data": {}}}
    fake.on("GET", "/configs/c", answer(resource))
    fake.on("GET", "/configs", answer({"items": [resource], "next": "n"}))
    assert client.resources.get("config", "c", revision=2).metadata.revision == 3
    page = client.resources.list("config", limit=1)
    assert (page.items[0].metadata.name, page.next) == ("c", "n")
    assert fake.asked[0].query == {"revision": ["2"]}
    with pytest.raises(errors.NotFound):
        client.resources.get("flow", "c")


def test_a_deletion_may_name_the_revision_it_means(client: Client, fake: FakeDaemon) -> None:
    fake.on("DELETE", "/configs/c", problem(412, "resource.stale"))
    with pytest.raises(errors.StaleRevision):
        client.resources.delete("config", "c", if_revision=2)
    assert fake.asked[0].headers["if-match"] == '"2"'


def test_lists_filter_on_the_server(client: Client, fake: FakeDaemon) -> None:
    fake.on("GET", "/runs", answer({"items": [run()], "next": None}))
    client.runs.list(state=["failed", "cancelled"], workflow="train", limit=2)
    assert fake.asked[0].query == {
        "state": ["failed", "cancelled"], "workflow": ["train"], "limit": ["2"],
    }  # fmt: skip


def test_a_retry_tells_where_to_begin_and_what_changed(client: Client, fake: FakeDaemon) -> None:
    fake.on("POST", "/runs/x/retry", answer(run(parent="x"), 202))
    assert client.runs.retry("x", start_from="train", input={"n": 2}).parent == "x"
    assert fake.asked[0].json() == {"start_from": "train", "input": {"n": 2}}


def test_results_reasons_items_metrics_and_logs_are_read(client: Client, fake: FakeDaemon) -> None:
    fake.on("GET", "/runs/x/result", answer([1, 2]))
    fake.on(
        "GET", "/runs/x/explain", answer({"items": [{"subject": "s", "code": "c", "message": "m"}]})
    )
    fake.on(
        "GET",
        "/runs/x/stages/s/items",
        answer({"items": [{"index": 0, "state": "failed"}], "next": None}),
    )
    fake.on(
        "GET", "/runs/x/metrics", answer({"items": [{"stage": "s", "name": "m", "points": []}]})
    )
    fake.on("GET", "/runs/x/logs", answer({"items": [], "next_after": 0}))
    assert client.runs.result("x") == [1, 2]
    assert client.runs.explain("x")[0].message == "m"
    assert client.runs.items("x", "s", state="failed").items[0].index == 0
    assert client.runs.metrics("x")[0]["name"] == "m"
    assert client.runs.logs("x", grep="a.b", tail=True)["items"] == []
    assert fake.asked[-1].query == {"grep": ["a.b"], "tail": ["true"]}


def test_artifacts_and_secrets_go_in_and_out(client: Client, fake: FakeDaemon) -> None:
    fake.on("PUT", "/artifacts/lab/m/a.bin", answer({}, 201))
    fake.on(
        "GET", "/artifacts/lab/m/a.bin", [b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n\x00\xff"]
    )
    fake.on("PUT", "/secrets/KEY", answer({"name": "KEY", "place": "file"}))
    fake.on("GET", "/secrets", answer({"items": [{"name": "KEY", "place": "file"}]}))
    client.artifacts.put("m", "a.bin", b"\x00\xff", namespace="lab")
    assert client.artifacts.get("m", "a.bin", namespace="lab") == b"\x00\xff"
    client.secrets.set("KEY", "s3cret")
    assert json.loads(fake.asked[2].body) == {"value": "s3cret"}
    assert client.secrets.list() == [{"name": "KEY", "place": "file"}]


def test_names_cannot_leave_their_place_in_a_path(client: Client, fake: FakeDaemon) -> None:
    with pytest.raises(errors.NotFound):
        client.runs.get("../status?x=1")
    assert fake.asked[0].target == "/api/v1/runs/..%2Fstatus%3Fx%3D1"
