"""Where the earlier flowdapt failed: each failure is a test that this one does not."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from flowdapt.client.wire import Call, Request
from flowdapt.domain.errors import FlowdaptError, InvalidInput
from tests.waiting import eventually
from tests.workstation import stage, workflow, workstation

if TYPE_CHECKING:
    from flowdapt.client import Client
    from flowdapt.domain.run import Run
    from tests.workstation import Workstation

STAGES = """
    import asyncio, os, pathlib, threading, time
    from flowdapt import MissingObject, get_run_context, objects

    def one(x=1):
        return x

    def slow_echo(x):
        time.sleep(0.2)
        return x

    def again(value):
        return value

    def numbers(count=4):
        return list(range(count))

    def odd_only(number):
        if number % 2 == 0:
            raise ValueError(f"{number} is even")
        return number

    def never(number):
        raise ValueError(f"not {number}")

    def unstorable():
        return threading.Lock()

    def vanish():
        os._exit(3)

    def meet(item, folder, needed):
        pathlib.Path(folder, f"{item}-{os.getpid()}").touch()
        until = time.monotonic() + 20
        while len(list(pathlib.Path(folder).iterdir())) < needed:
            if time.monotonic() > until:
                raise TimeoutError("alone")
            time.sleep(0.01)
        return os.getpid()

    async def awaited(number):
        await asyncio.sleep(0.01)
        return number * 2

    def config():
        return get_run_context().config

    def slow_config(seconds=0.0):
        time.sleep(seconds)
        return get_run_context().config

    def forget(strategy="fallback"):
        objects.put("key", "old", strategy="artifact")
        objects.put("key", "older", strategy=strategy)
        objects.delete("key")
        answers = [objects.exists("key", strategy=s) for s in ("fallback", "artifact", "cluster_memory")]
        for where in ("fallback", "artifact", "cluster_memory"):
            try:
                objects.get("key", strategy=where)
            except MissingObject as error:
                answers.append(type(error).__name__)
        return answers

    def sleep(seconds=60.0):
        time.sleep(seconds)

    def flaky():
        place = pathlib.Path(os.environ["FLOWDAPT_HOME"]) / ("tried-" + get_run_context().run.uid)
        if not place.exists():
            place.touch()
            raise OSError("not yet")
        print("said by flaky")
        return "in the end"
"""


@pytest.fixture(scope="module", autouse=True)
def _stages(station: Workstation) -> None:
    station.module("old", STAGES)


def at(name: str, function: str, *depends_on: str, **more: Any) -> dict[str, Any]:
    return stage(name, f"user_modules.old.{function}", *depends_on, **more)


def ran(client: Client, document: dict[str, Any], **given: Any) -> Run:
    client.apply([document])
    return client.run(document["metadata"]["name"], given, wait=True, timeout=50)


def test_1_a_kill_loses_nothing_that_was_answered() -> None:
    with workstation() as station:
        station.module("old", STAGES)
        station.start()
        with station.client() as client:
            client.apply([workflow("kept", at("one", "one"))])
            run = client.run("kept", {"x": 5}, wait=True)
            accepted = client.run("kept", {"x": 6})
        station.kill()
        station.start()
        with station.client() as client:
            assert client.resources.get("workflow", "kept").metadata.revision == 1
            assert client.runs.get(run.uid).result == 5
            assert client.runs.wait(accepted.uid, timeout=30).result == 6


def test_2_three_runs_at_once_have_each_their_own_result(client: Client) -> None:
    client.apply([workflow("echo", at("echo", "slow_echo"), at("again", "again", "echo"))])
    runs = [client.run("echo", {"x": number}) for number in (1, 2, 3)]
    assert [client.runs.wait(run.uid, timeout=30).result for run in runs] == [1, 2, 3]


def test_3_a_failing_item_fails_the_stage_unless_partial_is_allowed(client: Client) -> None:
    numbers = at("numbers", "numbers")
    mapped = {"type": "parameterized"}
    run = ran(client, workflow("strict", numbers, at("odd", "odd_only", "numbers", **mapped)))
    assert run.state == "failed"
    assert run.error is not None
    assert (run.error.stage, run.error.type) == ("odd", "builtins.ValueError")
    mapped["allow_partial_failure"] = True  # type: ignore[assignment]
    run = ran(client, workflow("lenient", numbers, at("odd", "odd_only", "numbers", **mapped)))
    assert (run.state, run.partial, run.result) == ("finished", True, [None, 1, None, 3])
    failed = client.runs.items(run.uid, "odd", state="failed").items
    assert [(item.index, item.error and item.error.message) for item in failed] == [
        (0, "0 is even"),
        (2, "2 is even"),
    ]


def test_3_when_all_items_fail_the_run_is_not_finished_with_nothing(client: Client) -> None:
    every = at("never", "never", "numbers", type="parameterized")
    run = ran(client, workflow("never", at("numbers", "numbers"), every))
    assert (run.state, run.result) == ("failed", None)


def test_4_a_result_that_cannot_be_stored_fails_its_run(client: Client) -> None:
    run = ran(client, workflow("lock", at("lock", "unstorable"), at("after", "again", "lock")))
    assert run.state == "failed"
    assert run.error is not None
    assert "lock" in run.error.message
    assert [one.state for one in run.stages] == ["failed", "skipped"]


def test_5_a_stage_that_exits_breaks_nothing_but_itself(client: Client) -> None:
    pid = client.status()["pid"]
    exits = workflow("exits", at("vanish", "vanish", retry={"max_attempts": 1}, on_lost="fail"))
    assert ran(client, exits).state == "failed"
    assert ran(client, workflow("next", at("one", "one"))).result == 1
    assert client.status()["pid"] == pid


def test_5_items_of_one_stage_run_side_by_side(client: Client, station: Workstation) -> None:
    folder = station.home / "met"
    folder.mkdir()
    meet = at("meet", "meet", type="parameterized", map_on="item")
    run = ran(client, workflow("meet", meet), item=[0, 1], folder=str(folder), needed=2)
    assert run.state == "finished", run.error
    assert len(set(run.result)) == 2


def test_5_async_items_run_too(client: Client) -> None:
    doubled = at("doubled", "awaited", "numbers", type="parameterized")
    run = ran(client, workflow("awaited", at("numbers", "numbers"), doubled), count=3)
    assert run.result == [0, 2, 4]


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        ([at("a", "again", "b"), at("b", "again", "a")], "cycle: a -> b -> a"),
        ([at("a", "again", "nowhere")], "nowhere"),
        ([at("a", "one"), at("a", "one")], 'two stages "a"'),
        ([at("a", "one", retries=3)], "retries"),
        ([at("a", "one", options={"map_onn": "x"})], "map_onn"),
    ],
    ids=["cycle", "unknown dependency", "duplicate", "unknown key", "unknown option"],
)
def test_7_what_is_wrong_is_refused_at_apply(
    client: Client, stages: list[dict[str, Any]], words: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        client.apply([workflow("wrong", *stages)])
    said = " ".join(one.message for one in refused.value.problems)
    assert words in said
    assert "wrong" not in [one.metadata.name for one in client.resources.list("workflow").items]


def test_10_leaves_give_one_value_or_a_mapping_and_all_are_run(client: Client) -> None:
    root = at("root", "one")
    assert ran(client, workflow("one-leaf", root, at("a", "again", "root"))).result == 1
    two = workflow("two-leaves", root, at("a", "again", "root"), at("b", "again", "root"))
    assert ran(client, two, x=7).result == {"a": 7, "b": 7}
    two["spec"]["result"] = "root"
    run = ran(client, two, x=7)
    assert (run.result, {one.state for one in run.stages}) == (7, {"finished"})


def config(name: str, kind: str, value: Any, data: dict[str, Any]) -> dict[str, Any]:
    spec = {"selector": {"type": kind, "value": value}, "data": data}
    return {"kind": "config", "metadata": {"name": name}, "spec": spec}


def test_11_selectors_match_by_and_the_name_wins_and_the_merge_is_deep(client: Client) -> None:
    document = workflow("configured", at("config", "config"))
    document["metadata"]["annotations"] = {"group": "g", "tier": "gold"}
    client.apply(
        [
            config("a-name", "name", "configured", {"model": {"depth": 3}}),
            config("b-both", "annotation", {"group": "g", "tier": "gold"}, {"model": {"width": 2}}),
            config("c-half", "annotation", {"group": "g", "tier": "tin"}, {"never": True}),
            config("d-group", "annotation", {"group": "g"}, {"model": {"depth": 1, "seed": 9}}),
        ]
    )
    assert ran(client, document).result == {"model": {"depth": 3, "width": 2, "seed": 9}}


def test_11_a_run_keeps_the_config_it_got(client: Client) -> None:
    slow = workflow("keeps", at("wait", "sleep"), at("config", "config", "wait"))
    client.apply([config("keeps", "name", "keeps", {"a": 1}), slow])
    run = client.run("keeps", {"seconds": 0.5})
    client.apply([config("keeps", "name", "keeps", {"a": 2})])
    assert client.runs.wait(run.uid, timeout=30).result == {"a": 1}
    assert client.run("keeps", {"seconds": 0.0}, wait=True).result == {"a": 2}


def test_12_retention_deletes_what_is_old_with_its_files() -> None:
    limits = {"FLOWDAPT_RETENTION__MAX_AGE": "1s", "FLOWDAPT_RETENTION__KEEP_PER_WORKFLOW": "1"}
    with workstation(**limits) as station:
        station.module("old", STAGES)
        station.start()
        with station.client() as client:
            runs = [ran(client, workflow("many", at("n", "numbers"))) for _ in range(3)]

            def only_the_newest() -> bool:
                client.gc()
                return [run.uid for run in client.runs.list().items] == [runs[-1].uid]

            eventually(only_the_newest, timeout_s=15, every_s=0.2, what="old runs are gone")
            left = {path.name for path in station.home.rglob("*")}
            assert not left & {run.uid for run in runs[:-1]}
        station.doctor()


def test_12_status_never_makes_anyone_wait(client: Client) -> None:
    client.apply([workflow("busy", at("sleep", "sleep"))])
    busy = [client.run("busy", {"seconds": 1.0}) for _ in range(4)]
    times: list[float] = []

    def ask() -> None:
        began = time.perf_counter()
        client.status()
        times.append(time.perf_counter() - began)

    for _ in range(10):
        ask()
    assert sorted(times)[5] < 0.5
    for run in busy:
        client.runs.cancel(run.uid)


@pytest.mark.parametrize(
    "path", ["runs?state=odd", "runs?limit=0", "runs?cursor=%25", "runs?sort=x", "events?after=x"]
)
def test_12_a_wrong_query_is_the_clients_error(client: Client, path: str) -> None:
    name, query = path.split("?")
    key, value = query.split("=")
    wrong = Request("GET", f"/api/v1/{name}", ((key, value),), (), b"", 10.0)
    with pytest.raises(InvalidInput):
        client.ask(Call(wrong, lambda answer: answer))


def test_12_a_worker_that_dies_costs_the_api_nothing(client: Client) -> None:
    client.apply([workflow("exits", at("vanish", "vanish", on_lost="fail"))])
    failures: list[FlowdaptError] = []
    over = threading.Event()

    def keep_asking() -> None:
        while not over.is_set():
            try:
                client.runs.list(limit=1)
            except FlowdaptError as error:
                failures.append(error)

    asking = threading.Thread(target=keep_asking)
    asking.start()
    try:
        runs = [client.run("exits") for _ in range(3)]
        assert {client.runs.wait(run.uid, timeout=30).state for run in runs} == {"failed"}
    finally:
        over.set()
        asking.join()
    assert failures == []


@pytest.mark.parametrize("strategy", ["fallback", "artifact", "cluster_memory"])
def test_14_a_deleted_object_never_comes_back(client: Client, strategy: str) -> None:
    run = ran(client, workflow("forget", at("forget", "forget")), strategy=strategy)
    assert run.result == [False, False, False, *["MissingObject"] * 3]


def test_15_a_run_is_cancelled_and_its_slot_is_free(client: Client) -> None:
    client.apply([workflow("long", at("sleep", "sleep"))])
    run = client.run("long")
    eventually(lambda: client.runs.get(run.uid).stages[0].state == "running", what="it runs")
    client.runs.cancel(run.uid)
    ended = client.runs.wait(run.uid, timeout=20)
    assert (ended.state, ended.reason) == ("cancelled", "user")
    assert ran(client, workflow("next", at("one", "one"))).state == "finished"


def test_15_a_stage_is_retried_recorded_and_logged(client: Client) -> None:
    again = {"max_attempts": 2, "initial": "10ms", "retry_on": ["builtins.OSError"]}
    run = ran(client, workflow("flaky", at("flaky", "flaky", retry=again)))
    assert (run.state, run.result) == ("finished", "in the end")
    assert [(one.name, one.state, one.attempt) for one in run.stages] == [("flaky", "finished", 2)]
    lines = client.runs.logs(run.uid, stage="flaky")["items"]
    assert "said by flaky" in [line["text"] for line in lines]


def test_15_a_stage_over_its_timeout_fails(client: Client) -> None:
    run = ran(client, workflow("late", at("sleep", "sleep", timeout="300ms")))
    assert (run.state, run.stages[0].reason) == ("failed", "timeout")
