"""`flowdapt use` and `flowdapt executor …`: what is sent, what is shown, how it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.client.fake_daemon import answer, hang_up, problem

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Program
    from tests.client.fake_daemon import FakeDaemon


def finding(words: str, level: str = "ok", code: str = "", fix: str = "") -> dict[str, Any]:
    return {
        "what": words.split(maxsplit=1)[0],
        "level": level,
        "words": words,
        "code": code,
        "fix": fix,
    }


WELL = [
    finding("scheduler reachable 3 ms"),
    finding("6 workers, 24 cpu, 2 gpu"),
    finding("python 3.11 = 3.11"),
    finding("dask, distributed, cloudpickle equal"),
    finding("storage written here, read by a worker"),
]
SKEW = finding(
    "plugin nowcast 0.4.1 here, 0.3.9 on 2 of 6 workers",
    "failed",
    "executor.plugin_skew",
    "install nowcast==0.4.1 in the workers' environment",
)
NEEDS = finding(
    "workflow paperboy asks gpus=4, lab has 2: it would wait for ever",
    "warning",
    "executor.unmet_needs",
)
AWAY = finding(
    "no scheduler answers at tls://10.0.0.5:8786 within 10 s",
    "failed",
    "executor.unavailable",
    "start the cluster",
)


def switched(*findings: dict[str, Any], **more: Any) -> dict[str, Any]:
    base = {
        "switched": True, "active": "lab", "previous": "local", "pinned": {},
        "findings": list(findings), "took_s": 0.4,
    }  # fmt: skip
    return base | more


def refused(*findings: dict[str, Any]) -> dict[str, Any]:
    return switched(*findings, switched=False, active="local", previous=None)


def view(**more: Any) -> dict[str, Any]:
    base = {
        "name": "lab", "kind": "dask", "state": "ready", "active": False, "built_in": False,
        "options": {}, "slots": None, "busy": 3, "waiting": 0, "cpus": 24.0, "gpus": 2.0,
        "memory_bytes": 2**36, "resources": {}, "workers": 3, "minimum": 1, "maximum": 4,
        "words": "3 of 1-4 workers", "runs": 2,
    }  # fmt: skip
    return base | more


# -- use -------------------------------------------------------------------------------------------------


def test_a_switch_is_one_line_that_says_how_to_undo_it(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on("PUT", "/active-executor", answer(switched(*WELL, pinned={"local": 1})))
    ended = flowdapt("use", "lab")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == "✔ now: lab.  1 run stays on local.  Undo: flowdapt use -\n"
    (asked,) = fake.asked
    assert asked.json() == {"name": "lab", "insecure": False, "keep_going": False}


def test_runs_that_go_on_elsewhere_are_counted_by_executor(
    flowdapt: Program, fake: FakeDaemon
) -> None:
    pinned = {"local": 2, "ray": 1, "lab": 5}
    fake.on("PUT", "/active-executor", answer(switched(pinned=pinned)))
    assert "2 runs stay on local, 1 run stays on ray." in flowdapt("use", "lab").out


def test_warnings_are_told_though_it_switched(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on("PUT", "/active-executor", answer(switched(*WELL, NEEDS)))
    first, last = flowdapt("use", "lab").out.splitlines()
    assert first.startswith("  ▲ workflow paperboy asks gpus=4")
    assert first.endswith("[executor.unmet_needs]")
    assert last.startswith("✔ now: lab.")


def test_a_failed_check_changes_nothing_and_is_shown_first(
    flowdapt: Program, fake: FakeDaemon
) -> None:
    fake.on("PUT", "/active-executor", answer(refused(*WELL, NEEDS, SKEW)))
    ended = flowdapt("use", "lab", columns=100)
    assert ended.code == 1
    assert ended.out.splitlines() == [
        f"  ✖ {SKEW['words']}   [executor.plugin_skew]",
        "    fix:  install nowcast==0.4.1 in the workers' environment",
        f"  ▲ {NEEDS['words']}   [executor.unmet_needs]",
        "  ✔ scheduler reachable 3 ms    ✔ dask, distributed, cloudpickle equal",
        "  ✔ 6 workers, 24 cpu, 2 gpu    ✔ storage written here, read by a worker",
        "  ✔ python 3.11 = 3.11",
    ]
    assert ended.err == (
        "✖ not switched (still: local).   fix: install nowcast==0.4.1 in the workers' environment"
        "   or: flowdapt use lab --keep-going\n"
    )


@pytest.mark.parametrize("found", [switched(*WELL, NEEDS), refused(*WELL, NEEDS, SKEW)])
def test_the_way_back_shows_the_same_checks_as_a_switch_to_a_name(
    flowdapt: Program, fake: FakeDaemon, found: dict[str, Any]
) -> None:
    fake.on("PUT", "/active-executor", answer(found))
    named, back = flowdapt("use", "lab", columns=100), flowdapt("use", "-", columns=100)
    assert (back.code, back.out) == (named.code, named.out)
    assert NEEDS["words"] in back.out


def test_what_is_well_stands_in_one_column_where_two_do_not_fit(
    flowdapt: Program, fake: FakeDaemon
) -> None:
    fake.on("PUT", "/active-executor", answer(refused(*WELL, SKEW)))
    narrow = flowdapt("use", "lab", columns=40).out.splitlines()
    piped = flowdapt("use", "lab").out.splitlines()
    assert narrow == piped
    assert narrow[2:] == [f"  ✔ {row['words']}" for row in WELL]


def test_a_long_line_stands_alone_and_keeps_no_others_from_their_places(
    flowdapt: Program, fake: FakeDaemon
) -> None:
    long = finding(
        "large results stay on it: losing it does stages again whose result was not kept"
    )
    fake.on("PUT", "/active-executor", answer(refused(WELL[0], long, WELL[1], SKEW)))
    shown = flowdapt("use", "lab", columns=80).out.splitlines()[2:]
    assert shown == [
        "  ✔ scheduler reachable 3 ms    ✔ 6 workers, 24 cpu, 2 gpu",
        f"  ✔ {long['words']}",
    ]


def test_an_executor_that_cannot_be_opened_ends_with_code_7_and_no_keep_going(
    flowdapt: Program, fake: FakeDaemon
) -> None:
    fake.on("PUT", "/active-executor", answer(refused(AWAY)))
    ended = flowdapt("use", "tls://10.0.0.5:8786")
    assert ended.code == 7
    assert ended.err == "✖ not switched (still: local).   fix: start the cluster\n"


def test_with_keep_going_it_is_asked_for_and_what_failed_is_told(
    flowdapt: Program, fake: FakeDaemon
) -> None:
    fake.on("PUT", "/active-executor", answer(switched(*WELL, SKEW)))
    ended = flowdapt("use", "lab", "--keep-going", "--insecure")
    assert ended.code == 0
    assert fake.asked[0].json() == {"name": "lab", "insecure": True, "keep_going": True}
    assert "✖ plugin nowcast" in ended.out
    assert ended.out.splitlines()[-1].startswith("✔ now: lab.")


@pytest.mark.parametrize("found", [switched(*WELL), refused(SKEW)])
def test_programs_get_one_document(
    flowdapt: Program, fake: FakeDaemon, found: dict[str, Any]
) -> None:
    fake.on("PUT", "/active-executor", answer(found))
    ended = flowdapt("use", "lab", "-o", "json")
    assert ended.json() == found
    assert ended.code == (0 if found["switched"] else 1)
    assert flowdapt("use", "lab", "-o", "name").out == f"{found['active']}\n"


def test_going_back_is_never_asked_for_twice(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on("PUT", "/active-executor", hang_up(), answer(switched(active="local")))
    assert flowdapt("use", "-").code == 7
    assert len(fake.asked) == 1
    fake.on("PUT", "/active-executor", hang_up(), answer(switched()))
    assert flowdapt("use", "lab").code == 0


@pytest.mark.parametrize(
    ("status", "code", "ends"),
    [
        (404, "executor.not_found", 3), (409, "executor.no_way_back", 4),
        (422, "executor.bad_address", 5), (503, "daemon.draining", 7),
    ],
)  # fmt: skip
def test_a_refusal_ends_with_the_code_of_its_kind(
    flowdapt: Program, fake: FakeDaemon, status: int, code: str, ends: int
) -> None:
    fake.on("PUT", "/active-executor", problem(status, code, "it is so", fix="do this"))
    ended = flowdapt("use", "lab")
    assert ended.code == ends
    assert f"[{code}]" in ended.err
    assert "do this" in ended.err


def test_a_cluster_cannot_write_to_the_terminal(flowdapt: Program, fake: FakeDaemon) -> None:
    evil = finding("plugin \x1b[2J here", "failed", "executor.plugin_skew", "\x1b]0;x\x07")
    fake.on("PUT", "/active-executor", answer(refused(evil, finding("well \x1b[31m"))))
    ended = flowdapt("use", "lab")
    assert "\x1b" not in ended.out + ended.err


# -- executor --------------------------------------------------------------------------------------------


def test_executors_are_listed_in_80_columns(flowdapt: Program, fake: FakeDaemon) -> None:
    rows = [
        view(active=True),
        view(name="local", kind="local", slots=4, workers=4, maximum=None, words="4 workers"),
        view(name="ray", kind="ray", state="closed", busy=0, cpus=0.0, words="", runs=0),
        view(name="far", state="unavailable", words="the scheduler does not answer since 12 s"),
    ]
    fake.on("GET", "/executors", answer({"items": rows}))
    ended = flowdapt("executor", "ls", columns=80)
    assert all(len(line) <= 80 for line in ended.out.splitlines())
    lab, local, ray, far = ended.out.splitlines()[1:]
    assert lab.startswith("*")
    assert "✔ ready" in lab
    assert "3/4" in local
    assert "· closed" in ray
    assert "✖ unavailable" in far
    wide = flowdapt("executor", "ls", "-o", "wide").out
    assert "3 of 1-4" in wide
    assert "does not answer since 12 s" in wide
    assert flowdapt("executor", "ls", "-o", "json").json() == {"items": rows, "next": None}


def test_an_executor_is_added_with_its_options(
    flowdapt: Program, fake: FakeDaemon, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").touch()
    fake.on("POST", "/executors", answer(view(state="closed"), 201))
    ended = flowdapt(
        "executor", "add", "lab", "dask", "--address", "tls://10.0.0.5:8786",
        "--storage", "s3://ml/flow", "--option", f"tls_ca={tmp_path}/ca.pem", "--option", "token=0042",
        "--option", "minimum=2", "--option", 'tags={"a": 1}', "--option", "adaptive=true",
        "--insecure",
    )  # fmt: skip
    assert ended.code == 0
    assert fake.asked[0].json() == {
        "name": "lab",
        "kind": "dask",
        "options": {
            "address": "tls://10.0.0.5:8786", "storage": "s3://ml/flow", "tls_ca": f"{tmp_path}/ca.pem",
            "token": "0042", "minimum": "2", "tags": {"a": 1}, "adaptive": True, "insecure": True,
        },
    }  # fmt: skip
    assert ended.out == "✔ lab (dask)\n"
    assert "flowdapt use lab" in ended.err
    assert flowdapt("executor", "add", "lab", "ray", "-o", "json").json()["name"] == "lab"
    assert fake.asked[-1].json()["options"] == {}


def test_a_file_beside_the_person_is_named_so_that_the_daemon_finds_it(
    flowdapt: Program, fake: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.on("POST", "/executors", answer(view(), 201))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ca.pem").touch()
    words = ["--option", "tls_ca=ca.pem", "--option", "tls_level=two", "--option", "x=ca.pem"]
    flowdapt("executor", "add", "lab", "dask", *words)
    options = fake.asked[0].json()["options"]
    assert options == {"tls_ca": f"{tmp_path}/ca.pem", "tls_level": "two", "x": "ca.pem"}


def test_a_file_that_is_not_there_is_told_before_anything_is_sent(
    flowdapt: Program, fake: FakeDaemon
) -> None:
    ended = flowdapt("executor", "add", "lab", "dask", "--option", "tls_cert=gone.pem")
    assert (ended.code, fake.asked) == (2, [])
    assert "tls_cert: there is no file gone.pem" in ended.err


def test_an_option_without_a_value_is_refused_before_anything_is_sent(
    flowdapt: Program, fake: FakeDaemon
) -> None:
    ended = flowdapt("executor", "add", "lab", "dask", "--option", "adaptive")
    assert ended.code == 2
    assert "--option name=value" in ended.err
    assert fake.asked == []


def test_an_unknown_option_is_told_with_its_place_and_what_was_meant(
    flowdapt: Program, fake: FakeDaemon
) -> None:
    errors = [
        {
            "loc": ["options", "tls_cert"], "msg": "dask has no such option",
            "code": "executor.unknown_option", "suggestion": "tls_ca",
            "fix": "did you mean 'tls_ca'?",
        }
    ]  # fmt: skip
    fake.on("POST", "/executors", problem(422, "executor.invalid_options", errors=errors))
    ended = flowdapt("executor", "add", "lab", "dask", "--option", "tls_cert=x")
    assert ended.code == 5
    assert "options.tls_cert" in ended.err
    assert 'did you mean "tls_ca"?' in ended.err
    assert ended.err.count("did you mean") == 1


@pytest.mark.parametrize(
    ("found", "code", "last"),
    [
        ({"passed": True, "findings": WELL}, 0, "✔ lab can be used  400ms"),
        ({"passed": False, "findings": [*WELL, SKEW]}, 1, "✖ lab cannot be used as it is"),
        ({"passed": False, "findings": [AWAY]}, 7, "✖ lab cannot be used as it is"),
    ],
)
def test_a_check_shows_every_row_and_ends_with_what_it_found(
    flowdapt: Program, fake: FakeDaemon, found: dict[str, Any], code: int, last: str
) -> None:
    document = {"name": "lab", "took_s": 0.4, **found}
    fake.on("POST", "/executors/lab/check", answer(document))
    ended = flowdapt("executor", "check", "lab")
    assert ended.code == code
    lines = ended.out.splitlines()
    assert lines[-1] == last
    assert all(any(row["words"] in line for line in lines) for row in found["findings"])
    told = flowdapt("executor", "check", "lab", "-o", "json")
    assert (told.json(), told.code) == (document, code)


@pytest.mark.parametrize(
    ("address", "kind"), [("tcp://127.0.0.1:1", "dask"), ("ray://127.0.0.1:10001", "ray")]
)
def test_a_check_of_an_address_says_how_it_is_done(
    flowdapt: Program, fake: FakeDaemon, address: str, kind: str
) -> None:
    ended = flowdapt("executor", "check", address)
    assert (ended.code, ended.out, fake.asked) == (2, "", [])
    assert f"{address} is an address, not the name of an executor" in ended.err
    assert f"flowdapt use {address} " in ended.err
    assert f"flowdapt executor add NAME {kind} --address {address}" in ended.err


@pytest.mark.parametrize("words", [("workers",), ("rm", "-y")])
def test_an_address_has_neither_workers_nor_a_name_to_forget(
    flowdapt: Program, fake: FakeDaemon, words: tuple[str, ...]
) -> None:
    ended = flowdapt("executor", *words, "tcp://127.0.0.1:1")
    assert (ended.code, fake.asked) == (2, [])
    assert "flowdapt executor ls" in ended.err


def test_workers_are_those_of_the_active_executor_unless_one_is_named(
    flowdapt: Program, fake: FakeDaemon
) -> None:
    worker = {
        "name": "w-1", "state": "busy", "pid": 7, "task_key": "k", "rss_bytes": 1024,
        "details": {"host": "node-3"},
    }  # fmt: skip
    fake.on("GET", "/status", answer({"executor": {"name": "lab"}}))
    fake.on("GET", "/executors/lab/workers", answer({"items": [worker]}))
    assert "w-1" in flowdapt("executor", "workers").out
    assert "node-3" in flowdapt("executor", "workers", "lab", "-o", "wide").out


def test_an_executor_is_forgotten_after_a_yes(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on("DELETE", "/executors/lab", answer(None, 204))
    assert flowdapt("executor", "rm", "lab").code == 1
    assert fake.asked == []
    ended = flowdapt("executor", "rm", "lab", "--yes", "-o", "json")
    assert ended.code == 0
    assert ended.json()["items"] == [{"action": "removed", "kind": "executor", "name": "lab"}]


def test_the_active_executor_stays(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on("DELETE", "/executors/lab", problem(409, "executor.in_use", fix="flowdapt use local"))
    ended = flowdapt("executor", "rm", "lab", "-y")
    assert ended.code == 4
    assert "flowdapt use local" in ended.err


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("use", ""), ["-", "lab", "local"]),
        (("run", "w", "--on", "l"), ["lab", "local"]),
        (("executor", ""), ["add", "check", "ls", "rm", "workers"]),
        (("executor", "check", "la"), ["lab"]),
        (("executor", "add", "x", ""), ["dask", "ray"]),
    ],
)
def test_the_shell_completes_names_and_kinds(
    flowdapt: Program, fake: FakeDaemon, words: tuple[str, ...], offered: list[str]
) -> None:
    fake.on("GET", "/executors", answer({"items": [view(), view(name="local")]}))
    provides = ["executor:local", "executor:dask", "executor:ray", "broker:nats"]
    fake.on("GET", "/plugins", answer({"items": [{"name": "builtin", "provides": provides}]}))
    assert flowdapt("__complete", *words).out.split() == offered
