"""The same workflows on every executor: results, errors, logs, progress, cancel, and nothing mixed up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from flowdapt.domain.run import RunState
from tests.waiting import eventually
from tests.workstation import stage, workflow, workstation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flowdapt.client import Client
    from tests.workstation import Workstation

pytestmark = pytest.mark.slow

STAGES = """
import os
import time

from flowdapt import get_run_context, objects


def begin(number):
    return number


def spread(number):
    return [number * 100 + at for at in range(20)]


def double(item):
    return item * 2


def total(items, number):
    return {"number": number, "total": sum(items)}


def speak(words):
    print(f"said {words}")
    context = get_run_context()
    context.logger.warning("warned %s", words)
    context.progress(1, 2)
    context.metric("loss", 0.25, 1)
    return words


def fail():
    raise LookupError("no such luck")


def pair():
    return ("a", {1, 2})


def types_of(value):
    return [type(value).__name__, sorted(value[1])]


def numbers(n):
    import numpy as np

    return np.arange(n, dtype="float64")


def change_in_place(array):
    array += 1
    return float(array.sum())


def sum_of(array, changed):
    return [float(array.sum()), changed]


def wait_for_cancel(witness):
    context = get_run_context()
    open(witness, "w").write(str(os.getpid()))
    while not context.cancelled:
        time.sleep(0.02)
    open(witness + ".seen", "w").write("looked")


def keep(value):
    objects.put("kept", value)


def find():
    return objects.get("kept")


def wait_for(gate):
    while not os.path.exists(gate):
        time.sleep(0.02)
    return "through"
"""
CODE = "user_modules.any_executor."

WORKFLOWS = [
    workflow(
        "fan",
        stage("begin", f"{CODE}begin"),
        stage("spread", f"{CODE}spread", "begin"),
        stage("double", f"{CODE}double", "spread", type="parameterized"),
        stage("total", f"{CODE}total", "double", "begin"),
    ),
    workflow("speak", stage("speak", f"{CODE}speak")),
    workflow("fail", stage("fail", f"{CODE}fail")),
    workflow("types", stage("pair", f"{CODE}pair"), stage("types", f"{CODE}types_of", "pair")),
    workflow(
        "arrays",
        stage("numbers", f"{CODE}numbers"),
        stage("change", f"{CODE}change_in_place", "numbers"),
        stage("sum", f"{CODE}sum_of", "numbers", "change"),
    ),
    workflow("deaf", stage("wait", f"{CODE}wait_for_cancel")),
    workflow("keep", stage("keep", f"{CODE}keep")),
    workflow("find", stage("find", f"{CODE}find")),
    workflow("gate", stage("wait", f"{CODE}wait_for")),
]


@pytest.fixture(
    scope="module",
    params=["local", *(pytest.param(one, marks=pytest.mark.clusters) for one in ("dask", "ray"))],
)
def station(request: pytest.FixtureRequest) -> Iterator[Workstation]:
    """Give a daemon whose active executor is the parameter, with the workflows applied."""
    with workstation() as made:
        made.module("any_executor", STAGES)
        made.start()
        with made.client() as client:
            client.apply(WORKFLOWS)
        if request.param != "local":
            done = made.cli("use", request.param)
            assert done.returncode == 0, done.stdout + done.stderr
        yield made
        assert made.end() == 0
        left = made.descendants()
        assert left == [], "the cluster's processes end with the daemon"


@pytest.fixture
def client(station: Workstation) -> Iterator[Client]:
    with station.client() as made:
        yield made


def test_runs_at_once_with_the_same_stages_are_not_mixed_up(client: Client) -> None:
    """Failure 2 of the earlier flowdapt: three runs with the inputs 1, 2, 3 all returned 1."""
    runs = {number: client.run("fan", {"number": number}).uid for number in range(12)}
    for number, uid in runs.items():
        run = client.runs.wait(uid, timeout=90)
        assert run.state is RunState.FINISHED, run.error
        items = [number * 100 + at for at in range(20)]
        assert run.result == {"number": number, "total": 2 * sum(items)}


def test_what_a_stage_says_arrives(client: Client) -> None:
    run = client.run("speak", {"words": "hello"}, wait=True)
    assert run.result == "hello"
    texts = [line["text"] for line in client.runs.logs(run.uid)["items"]]
    assert set(texts) == {"said hello", "warned hello"}
    (series,) = client.runs.metrics(run.uid)
    assert series["name"] == "loss"


def test_an_error_is_the_users_own(client: Client) -> None:
    run = client.run("fail", wait=True)
    assert run.state is RunState.FAILED
    assert run.error is not None
    assert (run.error.type, run.error.message) == ("builtins.LookupError", "no such luck")
    assert "in fail" in run.error.traceback
    for inner in ("flowdapt/runtime", "distributed/", "site-packages/ray"):
        assert inner not in run.error.traceback


def test_values_keep_their_types(client: Client) -> None:
    assert client.run("types", wait=True).result == ["tuple", [1, 2]]


def test_an_array_changed_in_place_harms_nobody_elses(client: Client) -> None:
    count = 2_000_000  # 16 MB: it stays where it was made, on clusters
    run = client.run("arrays", {"n": count}, wait=True)
    total = count * (count - 1) / 2
    assert run.result == [total, total + count]


def test_a_cancel_reaches_the_body(client: Client, station: Workstation) -> None:
    witness = station.home / "witness"
    witness.unlink(missing_ok=True)
    run = client.run("deaf", {"witness": str(witness)})
    eventually(witness.exists, timeout_s=30)
    began = time.monotonic()
    client.runs.cancel(run.uid)
    ended = client.runs.wait(run.uid, timeout=30)
    assert ended.state is RunState.CANCELLED
    assert time.monotonic() - began < 7
    eventually((station.home / "witness.seen").exists, timeout_s=5)


def test_objects_outlive_their_run(client: Client) -> None:
    value = {"a": [1, 2, 3]}
    assert client.run("keep", {"value": value}, wait=True).state is RunState.FINISHED
    assert client.run("find", wait=True).result == value


def test_an_edit_is_seen_by_the_next_run(client: Client, station: Workstation) -> None:
    assert client.run("speak", {"words": "x"}, wait=True).result == "x"
    station.module("any_executor", STAGES.replace("return words", "return words.upper()"))
    try:
        assert client.run("speak", {"words": "x"}, wait=True).result == "X"
    finally:
        station.module("any_executor", STAGES)


def test_logs_arrive_while_the_stage_runs(client: Client, station: Workstation) -> None:
    station.module(
        "slow_speech",
        """
        import os, time

        def speak(gate):
            print("before the gate")
            while not os.path.exists(gate):
                time.sleep(0.02)
        """,
    )
    client.apply([workflow("slow", stage("speak", "user_modules.slow_speech.speak"))])
    gate = station.home / "gate"
    gate.unlink(missing_ok=True)
    run = client.run("slow", {"gate": str(gate)})
    eventually(lambda: client.runs.get(run.uid).stages[0].started_at is not None, timeout_s=30)
    said: Any = lambda: [line["text"] for line in client.runs.logs(run.uid)["items"]]  # noqa: E731
    eventually(said, timeout_s=2.5, what="a line arrives within 2 s")
    gate.touch()
    assert client.runs.wait(run.uid, timeout=30).state is RunState.FINISHED


def test_runs_stay_on_the_executor_they_began_on(client: Client, station: Workstation) -> None:
    here = client.status()["executor"]["name"]
    there = "dask" if here == "local" else "local"
    gate = station.home / "pinned"
    gate.unlink(missing_ok=True)
    run = client.run("gate", {"gate": str(gate)})
    eventually(lambda: client.runs.get(run.uid).stages[0].started_at is not None, timeout_s=30)
    switched = station.cli("use", there)
    assert switched.returncode == 0, switched.stdout + switched.stderr
    assert "1 run stays on" in switched.stdout + switched.stderr
    assert client.run("speak", {"words": "x"}, wait=True).executor == there
    gate.touch()
    ended = client.runs.wait(run.uid, timeout=60)
    assert (ended.state, ended.executor) == (RunState.FINISHED, here)
    back = station.cli("use", "-")
    assert back.returncode == 0, back.stdout + back.stderr
    assert client.status()["executor"]["name"] == here


@pytest.mark.clusters
def test_the_demo_gives_the_same_metrics_everywhere() -> None:
    with workstation() as station:
        station.start()
        done = station.cli("demo")
        assert done.returncode == 0, done.stderr
        with station.client() as client:
            results = {}
            for executor in ("local", "dask", "ray"):
                run = client.run("weather_train", executor=executor, wait=True)
                assert (run.state, run.executor) == (RunState.FINISHED, executor), run.error
                results[executor] = client.runs.result(run.uid)
        assert results["local"] == results["dask"] == results["ray"]
        assert len(results["local"]) == 6
