"""What documents and words promise, on real workers: binding, mapping, retries, limits, what a run keeps."""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING, Any

import pytest

from flowdapt.client.endpoints import runs as calls
from flowdapt.domain.errors import InvalidInput
from tests.waiting import eventually
from tests.workstation import stage, workflow, workstation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flowdapt.client import Client
    from flowdapt.domain.run import Run
    from tests.workstation import Workstation

SECRET = "s3cr3t-Value-0123456789abc"
STAGES = """
    import base64, logging, os, pathlib, sys, time
    from flowdapt import get_run_context

    HOME = pathlib.Path(os.environ["FLOWDAPT_HOME"])

    class Mine(Exception):
        pass

    class Sub(Mine):
        pass

    def flexible(a, *rest, b=5, **more):
        return [a, list(rest), b, more]

    def collects(*values):
        return list(values)

    def nothing():
        return "nothing"

    def positional(a, b, /):
        return [a, b]

    def with_context(x, *, context):
        return [x, context.task_key]

    def plain_context(context):
        return context

    async def awaited(x):
        return x + 1

    def fails(kind):
        raise {"mine": Mine, "sub": Sub, "file": FileNotFoundError, "value": ValueError}[kind]("no")

    def waits(gate):
        while not (HOME / gate).exists():
            time.sleep(0.005)
        return gate

    def alone(gate):
        marker = HOME / "somebody-is-here"
        marker.touch(exist_ok=False)
        time.sleep(0.05)
        marker.unlink()

    def notes(number):
        with open(HOME / "order", "a") as file:
            file.write(f"{number}\\n")

    def big():
        return "x" * 3_000_000

    def no_json():
        return {1, 2, 3}

    def speaks(gate):
        context = get_run_context()
        print("first")
        context.progress(1, 4)
        waits(gate)
        context.logger.warning("second")
        logging.getLogger("library").error("third %d", 3)
        for step in range(3):
            context.metric("loss", 1 / (step + 1), step)

    def tells(how):
        secret = get_run_context().secrets["API_KEY"]
        print("plain", secret)
        print("encoded", base64.b64encode(b"user:" + secret.encode()).decode())
        for piece in (secret[:5], secret[5:], "\\n"):
            sys.stdout.write(piece)
            sys.stdout.flush()
        logging.getLogger("x").warning("logged %s", secret)
        print(dict(os.environ))
        raise ValueError("bad " + secret)

    def knows():
        return ["API_KEY" in os.environ, sorted(get_run_context().secrets)]
"""


@pytest.fixture(scope="module")
def station() -> Iterator[Workstation]:
    with workstation(FLOWDAPT_LOCAL__SLOTS="2", FLOWDAPT_LOCAL__RESOURCES='{"vllm": 1}') as made:
        made.module("m", STAGES)
        made.start()
        yield made
        made.doctor()


@pytest.fixture
def client(station: Workstation) -> Iterator[Client]:
    with station.client() as made:
        yield made
        # A test that failed must not keep the slots of the next one.
        for run in made.runs.list(state=["queued", "running"]).items:
            made.runs.cancel(run.uid)
            made.runs.wait(run.uid, timeout=20)


def at(name: str, function: str, *depends_on: str, **more: Any) -> dict[str, Any]:
    return stage(name, f"user_modules.m.{function}", *depends_on, **more)


def ran(client: Client, document: dict[str, Any], given: dict[str, Any] | None = None) -> Run:
    client.apply([document])
    return client.run(document["metadata"]["name"], given, wait=True, timeout=50)


# --- binding --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "given", "result"),
    [
        ("flexible", {"a": 1, "b": 2, "c": 3}, [1, [], 2, {"c": 3}]),
        ("flexible", {"a": 1}, [1, [], 5, {}]),
        ("collects", {"a": 1}, []),
        ("nothing", {"a": 1}, "nothing"),
        ("positional", {"b": 2, "a": 1}, [1, 2]),
        ("plain_context", {"context": 4}, 4),
        ("awaited", {"x": 1}, 2),
    ],
)
def test_a_root_takes_the_input_by_name(
    client: Client, function: str, given: dict[str, Any], result: Any
) -> None:
    assert ran(client, workflow("root", at("only", function)), given).result == result


def test_the_context_comes_as_a_keyword_and_a_clash_is_refused(client: Client) -> None:
    document = workflow("context", at("only", "with_context"))
    run = ran(client, document, {"x": 1})
    assert run.result == [1, f"{run.uid}/only/0"]
    clash = ran(client, document, {"x": 1, "context": 2})
    assert clash.error is not None
    assert "'context'" in clash.error.message


def test_a_missing_parameter_is_named(client: Client) -> None:
    run = ran(client, workflow("missing", at("only", "positional")), {"a": 1})
    assert run.state == "failed"
    assert run.error is not None
    assert "the parameter 'b' is required" in run.error.message


def test_dependencies_come_in_order_and_only_order_a_stage_without_parameters(
    client: Client,
) -> None:
    first, second = at("first", "plain_context"), at("second", "nothing")
    all_of_them = at("all", "collects", "second", "first")
    run = ran(client, workflow("order", first, second, all_of_them), {"context": 1})
    assert run.result == ["nothing", 1]
    assert ran(client, workflow("order", second, at("x", "nothing", "second"))).result == "nothing"


@pytest.mark.parametrize(
    ("depends_on", "map_on", "result"),
    [
        (["items"], None, [[1, [], 5, {}], [2, [], 5, {}]]),
        (["items", "other"], None, [[1, ["nothing"], 5, {}], [2, ["nothing"], 5, {}]]),
        (["other", "items"], "items", [["nothing", [1], 5, {}], ["nothing", [2], 5, {}]]),
        (["other"], "context", [[1, ["nothing"], 5, {}], [2, ["nothing"], 5, {}]]),
    ],
    ids=["first dependency", "others whole", "a stage's name", "an input key"],
)
def test_a_mapped_stage_takes_items_and_the_others_whole(
    client: Client, depends_on: list[str], map_on: str | None, result: Any
) -> None:
    more = {"map_on": map_on} if map_on else {}
    mapped = at("mapped", "flexible", *depends_on, type="parameterized", **more)
    stages = [at("items", "plain_context"), at("other", "nothing"), mapped]
    run = ran(client, workflow("maps", *stages, result="mapped"), {"context": [1, 2]})
    assert run.result == result


# --- retries, limits ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "kind", "attempts"),
    [
        ({"retry_on": ["builtins.OSError"]}, "file", 3),
        ({"retry_on": ["builtins.OSError"]}, "value", 1),
        ({"retry_on": ["user_modules.m.Mine"]}, "sub", 3),
        ({"retry_on": ["user_modules.m.Sub"]}, "mine", 1),
        ({"no_retry_on": ["user_modules.m.Mine"]}, "sub", 1),
        ({}, "mine", 3),
    ],
)
def test_what_is_retried_is_told_by_class(
    client: Client, policy: dict[str, Any], kind: str, attempts: int
) -> None:
    retry = {"max_attempts": 3, "initial": "10ms", **policy}
    run = ran(client, workflow("retries", at("fails", "fails", retry=retry)), {"kind": kind})
    assert (run.state, run.stages[0].attempt) == ("failed", attempts)


def test_a_custom_resource_is_held_by_one_at_a_time_and_named_while_it_is_waited_for(
    client: Client, station: Workstation
) -> None:
    needs = {"resources": {"vllm": 1}}
    both = workflow("model", at("a", "waits", **needs), at("b", "alone", **needs))
    client.apply([both])
    run = client.run("model", {"gate": "vllm"})
    eventually(lambda: client.runs.get(run.uid).stages[0].state == "running", what="a runs")
    said = {reason.subject: reason.message for reason in client.runs.explain(run.uid)}
    assert "vllm" in said["stage b"]
    (station.home / "vllm").touch()
    assert client.runs.wait(run.uid, timeout=30).state == "finished"
    alone = [at(f"s{number}", "alone", **needs) for number in range(4)]
    assert ran(client, workflow("alone", *alone), {"gate": ""}).state == "finished"


def test_the_higher_priority_goes_first(client: Client, station: Workstation) -> None:
    client.apply(
        [
            workflow("block", at("a", "waits"), at("b", "waits")),
            workflow("notes", at("s", "notes", resources={"vllm": 1})),
        ]
    )
    block = client.run("block", {"gate": "priorities"})
    eventually(
        lambda: {one.state for one in client.runs.get(block.uid).stages} == {"running"}, what="busy"
    )
    runs = [
        client.ask(
            calls.submit("notes", {"input": {"number": n}, "priority": p}, key=f"{block.uid}-{n}")
        )
        for n, p in [(1, 0), (2, 5), (3, 10), (4, -1)]
    ]
    (station.home / "priorities").touch()
    for run in runs:
        client.runs.wait(run.uid, timeout=30)
    assert (station.home / "order").read_text().split() == ["3", "2", "1", "4"]


@pytest.mark.parametrize(
    ("when_full", "first", "second"),
    [("queue", "finished", "finished"), ("skip", "finished", "cancelled"), ("replace", "cancelled", "finished")],
)  # fmt: skip
def test_one_more_run_than_allowed(
    client: Client, station: Workstation, when_full: str, first: str, second: str
) -> None:
    limit = {"max_runs": 1, "when_full": when_full}
    client.apply([workflow(f"full-{when_full}", at("s", "waits"), concurrency=limit)])
    runs = [client.run(f"full-{when_full}", {"gate": f"full-{when_full}"}) for _ in range(2)]
    (station.home / f"full-{when_full}").touch()
    ends = [client.runs.wait(run.uid, timeout=30) for run in runs]
    assert [run.state for run in ends] == [first, second]
    if when_full == "queue":
        assert ends[0].finished_at is not None
        assert ends[1].started_at is not None
        assert ends[1].started_at >= ends[0].finished_at


# --- what a run keeps -----------------------------------------------------------------------------


def test_an_edit_changes_nothing_for_a_run_that_is_there(
    client: Client, station: Workstation
) -> None:
    client.apply([workflow("edited", at("a", "waits"), at("b", "collects", "a"))])
    run = client.run("edited", {"gate": "edited"})
    client.apply([workflow("edited", at("c", "nothing"))])
    (station.home / "edited").touch()
    ended = client.runs.wait(run.uid, timeout=30)
    assert (ended.revision, ended.result) == (1, ["edited"])
    again = client.run("edited", {"gate": "edited"}, wait=True)
    assert (again.revision, again.result) == (2, "nothing")


def test_an_edit_of_a_module_is_seen_by_the_next_run(client: Client, station: Workstation) -> None:
    document = workflow("module", stage("f", "user_modules.edits.f"))
    station.module("edits", "def f():\n    return 'before'\n")
    assert ran(client, document).result == "before"
    station.module("edits", "def f():\n    return 'afterwards'\n")
    assert ran(client, document).result == "afterwards"


def test_a_large_result_is_streamed_and_another_than_json_previewed(client: Client) -> None:
    run = ran(client, workflow("large", at("big", "big")))
    assert (run.result, run.result_size_bytes) == (None, 3_000_002)
    assert client.runs.result(run.uid) == "x" * 3_000_000
    run = ran(client, workflow("no-json", at("set", "no_json")))
    assert run.state == "finished"
    assert run.result_preview["type"] == "builtins.set"
    with pytest.raises(InvalidInput, match="not JSON"):
        client.runs.result(run.uid)


# --- what is said while it runs -------------------------------------------------------------------


def test_progress_and_lines_arrive_while_the_stage_runs(
    client: Client, station: Workstation
) -> None:
    client.apply([workflow("speaks", at("speaks", "speaks"))])
    run = client.run("speaks", {"gate": "speak"})
    lines = client.follow(calls.tail(run.uid), until=lambda line: line["text"].startswith("third"))
    assert next(lines)["text"] == "first"
    eventually(lambda: client.runs.get(run.uid).stages[0].progress == (1, 4), what="its progress")
    (station.home / "speak").touch()
    said = [(line["level"], line["text"], line["stage"]) for line in lines]
    assert said == [("warning", "second", "speaks"), ("error", "third 3", "speaks")]
    client.runs.wait(run.uid, timeout=30)
    warnings = client.runs.logs(run.uid, stage="speaks", level="error")["items"]
    assert [line["text"] for line in warnings] == ["third 3"]
    found = client.runs.logs(run.uid, grep="sec.*d$")["items"]
    assert [line["text"] for line in found] == ["second"]
    (series,) = client.runs.metrics(run.uid)
    assert (series["name"], series["stage"]) == ("loss", "speaks")
    assert [point[:2] for point in series["points"]] == [[0, 1.0], [1, 0.5], [2, 1 / 3]]
    assert "loss" in station.cli("runs", "metrics", run.name).stdout


def test_a_secret_is_nowhere_but_in_its_stage(client: Client, station: Workstation) -> None:
    client.secrets.set("API_KEY", SECRET)
    knows = workflow("knows", at("with", "knows", secrets=["API_KEY"]), at("without", "knows"))
    assert ran(client, knows).result == {"with": [True, ["API_KEY"]], "without": [False, []]}
    run = ran(client, workflow("tells", at("tells", "tells", secrets=["API_KEY"])), {"how": "all"})
    assert run.error is not None
    assert run.error.message == "bad ***"
    texts = [line["text"] for line in client.runs.logs(run.uid)["items"]]
    assert texts[:1] + texts[2:4] == ["plain ***", "***", "logged ***"]
    assert texts[1].startswith("encoded ")
    encoded = base64.b64encode(b"user:" + SECRET.encode())
    files = [p for p in station.home.rglob("*") if p.is_file() and p.name != "secrets.json"]
    told = [p for p in files for form in (SECRET.encode(), encoded) if form in p.read_bytes()]
    assert told == []
    shown = station.cli("-o", "json", "events", "--run", run.uid).stdout
    assert run.uid in shown
    assert SECRET not in shown
    metrics = station.cli("api", "GET", "/metrics").stdout
    assert SECRET not in metrics


def test_a_secret_that_is_not_set_fails_its_stage_with_the_way_out(client: Client) -> None:
    run = ran(client, workflow("unset", at("s", "knows", secrets=["NEVER_SET"])))
    assert run.error is not None
    assert "flowdapt secret set NEVER_SET" in run.error.message


# --- cancel ---------------------------------------------------------------------------------------


def test_a_cancel_ends_a_run_from_any_state(client: Client, station: Workstation) -> None:
    limit = {"max_runs": 1, "when_full": "queue"}
    retry = {"max_attempts": 5, "initial": "60s"}
    client.apply(
        [
            workflow("one", at("s", "waits"), concurrency=limit),
            workflow("tries", at("f", "fails", retry=retry)),
        ]
    )
    running, queued = (client.run("one", {"gate": "never"}) for _ in range(2))
    retrying = client.run("tries", {"kind": "mine"})
    ended = ran(client, workflow("done", at("n", "nothing")))

    def is_retrying() -> bool:
        return client.runs.get(retrying.uid).stages[0].state == "retrying"

    eventually(is_retrying, what="it waits for its next attempt")
    assert client.runs.cancel(queued.uid).state == "cancelled"
    assert client.runs.cancel(ended.uid) == client.runs.get(ended.uid)
    began = time.monotonic()
    for run in (running, retrying):
        client.runs.cancel(run.uid)
        assert client.runs.wait(run.uid, timeout=7).reason == "user"
    assert time.monotonic() - began < 7
