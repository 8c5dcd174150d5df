"""logs, events, artifacts, secrets, plugins, status, metrics, api, explain, init, runs why and compare."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from flowdapt import __version__
from tests.cli.conftest import Program
from tests.client.fake_daemon import FakeDaemon, answer, problem, run, stream

if TYPE_CHECKING:
    from pathlib import Path

UID = run()["uid"]


def line(number: int, text: str, **more: Any) -> dict[str, Any]:
    base = {
        "number": number,
        "time": 1e9 + number,
        "stage": "fit",
        "attempt": 1,
        "index": None,
        "stream": "log",
        "level": "info",
        "logger": "",
        "text": text,
    }
    return base | more


# -- logs ------------------------------------------------------------------------------------------


def test_logs_tell_time_stage_item_and_text(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on("GET", "/runs/r", answer(run()))
    fake.on(
        "GET",
        f"/runs/{UID}/logs",
        answer(
            {"items": [line(1, "one"), line(2, "two", index=7)], "next_after": 2, "truncated": True}
        ),
    )
    ended = flowdapt("logs", "r")
    assert ended.out.splitlines() == ["01:46:41.000 fit one", "01:46:42.000 fit[7] two"]
    assert "cap" in ended.err
    assert flowdapt("logs", "r", "--bare").out == "one\ntwo\n"
    assert [
        json.loads(one)["text"] for one in flowdapt("logs", "r", "-o", "jsonl").out.splitlines()
    ] == ["one", "two"]


def test_all_lines_are_read_page_after_page(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on("GET", "/runs/r", answer(run()))
    fake.on(
        "GET", f"/runs/{UID}/logs",
        answer({"items": [line(1, "a")], "next_after": 1}),
        answer({"items": [line(9, "b")], "next_after": 9}),
        answer({"items": [], "next_after": 9}),
    )  # fmt: skip
    assert flowdapt("logs", "r", "--grep", "x.y", "-C", "2", "--bare").out == "a\nb\n"
    queries = [one.query for one in fake.calls("GET", f"/runs/{UID}/logs")]
    assert queries[0]["grep"] == ["x.y"]
    assert [one.get("after") for one in queries] == [None, ["1"], ["9"]]


def test_a_log_is_followed_to_its_end_over_a_broken_connection(
    flowdapt: Program, fake: FakeDaemon
) -> None:
    fake.on("GET", "/runs/r", answer(run()))
    fake.on(
        "GET", f"/runs/{UID}/logs",
        lambda _: stream(("log", line(1, "a")), cut=True),
        lambda _: stream(("log", line(2, "b\x1b[2J")), ("end", {"truncated": False}), first_id=2),
    )  # fmt: skip
    ended = flowdapt("logs", "r", "-f", "--bare")
    assert (ended.out, ended.err) == ("a\nb\\x1b[2J\n", "")
    assert fake.calls("GET", f"/runs/{UID}/logs")[1].headers["last-event-id"] == "1"


def test_a_log_that_ends_before_its_run_is_no_success(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on("GET", "/runs/r", answer(run(state="running")))
    fake.on("GET", f"/runs/{UID}/logs", lambda _: stream(("log", line(1, "a"))))
    ended = flowdapt("logs", "r", "-f", "--bare")
    assert (ended.code, ended.out) == (7, "a\n")
    assert "flowdapt logs r -f" in ended.err


# -- watching ------------------------------------------------------------------------------------------


def test_what_changes_is_printed_again(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on("GET", "/runs", answer({"items": [run(state="running")], "next": None}))
    fake.on("GET", f"/runs/{UID}", answer(run()))
    happened = [
        ("com.event.workflow.workflow_finished", {"type": "x", "run": UID}),
        ("gap", {"reason": "r"}),
    ]
    fake.on("GET", "/events", lambda _: stream(*happened))
    lines = flowdapt("get", "runs", "-w", "-o", "jsonl").out.splitlines()
    assert [json.loads(one)["state"] for one in lines] == ["running", "finished"]


def test_events_are_told_without_their_family_and_controls(
    flowdapt: Program, fake: FakeDaemon
) -> None:
    event = _event(1, "com.event.a.b") | {"subject": "s\x1b"}
    fake.on("GET", "/events", lambda _: stream(("com.event.a.b", event)), problem(403, "denied"))
    ended = flowdapt("events", "-f", "--limit", "0", "--type", "a.*")
    assert ended.out == "2026-01-01T00:00:00Z  a.b  s\\x1b  \n"
    assert fake.asked[-1].query["type"] == ["a.*", "com.event.a.*"]


# -- runs --------------------------------------------------------------------------------------------


def test_why_says_what_holds_a_run_and_the_way_out(flowdapt: Program, fake: FakeDaemon) -> None:
    reason = {
        "subject": "stage fit",
        "code": "stage.no_slot",
        "message": "waits for a slot",
        "fix": "wait",
    }
    fake.on("GET", "/runs/r/explain", answer({"items": [reason]}))
    assert (
        flowdapt("runs", "why", "r").out
        == "stage fit  waits for a slot   [stage.no_slot]\n  fix:  wait\n"
    )
    assert flowdapt("runs", "why", "r", "-o", "json").json()["items"] == [reason]


def test_two_runs_are_put_side_by_side(flowdapt: Program, fake: FakeDaemon) -> None:
    series = {"stage": "fit", "name": "loss", "index": None}
    fake.on("GET", "/runs/a", answer(run(uid="a" * 32, input={"n": 1})))
    fake.on("GET", "/runs/b", answer(run(uid="b" * 32, input={"n": 2}, partial=True)))
    fake.on(
        "GET",
        f"/runs/{'a' * 32}/metrics",
        answer({"items": [series | {"points": [[0, 0.5, 1.0]]}]}),
    )
    fake.on(
        "GET",
        f"/runs/{'b' * 32}/metrics",
        answer({"items": [series | {"points": [[0, 9.0, 1.0], [1, 0.25, 2.0]]}]}),
    )
    rows = {
        row["what"]: row
        for row in flowdapt("runs", "compare", "a", "b", "-o", "json").json()["items"]
    }
    assert (rows["input n"]["a"], rows["input n"]["b"], rows["input n"]["same"]) == (1, 2, False)
    assert (rows["state"]["a"], rows["state"]["b"]) == ("finished", "partial")
    assert (rows["metric fit loss"]["a"], rows["metric fit loss"]["b"]) == (0.5, 0.25)
    assert "-50.0%" in flowdapt("runs", "compare", "a", "b").out


def test_metrics_show_their_course(flowdapt: Program, fake: FakeDaemon) -> None:
    points = [[step, value, 0.0] for step, value in enumerate([3.0, 2.0, 1.0])]
    fake.on(
        "GET",
        "/runs/r/metrics",
        answer({"items": [{"stage": "fit", "name": "loss", "index": None, "points": points}]}),
    )
    row = flowdapt("runs", "metrics", "r").out.splitlines()[1].split()
    assert row == ["fit", "loss", "1", "1", "3", "3", "█▄▁"]


def test_waiting_for_several_ends_as_the_worst_of_them(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on("GET", "/runs/a", answer(run()))
    fake.on("GET", "/runs/b", answer(run(state="failed", error={"type": "x", "message": "m"})))
    assert flowdapt("runs", "wait", "a").code == 0
    ended = flowdapt("runs", "wait", "a", "b")
    assert ended.code == 1
    assert len(ended.out.splitlines()) == 3


def test_a_retry_with_another_input_keeps_the_rest_of_it(
    flowdapt: Program, fake: FakeDaemon
) -> None:
    fake.on("GET", "/runs/r", answer(run(input={"a": 1, "b": 2})))
    fake.on("POST", "/runs/r/retry", answer(run(parent=UID)))
    assert flowdapt("runs", "retry", "r", "-i", "b=3", "--from", "fit").code == 0
    assert fake.calls("POST", "/runs/r/retry")[0].json() == {
        "start_from": "fit",
        "input": {"a": 1, "b": 3},
    }


# -- artifacts ---------------------------------------------------------------------------------------


def detail(*files: str) -> Any:
    return answer(
        {
            "namespace": "default",
            "name": "m",
            "files": [
                {"name": f, "size_bytes": 3, "modified_at": "2026-01-01T00:00:00Z"} for f in files
            ],
            "metadata": {"loss": 0.5},
        }
    )


RAW = [b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n", b"\x00\xffx"]


def test_the_only_file_of_an_artifact_is_written_whole(
    flowdapt: Program, fake: FakeDaemon, tmp_path: Path
) -> None:
    fake.on("GET", "/artifacts/default/m", detail("m.bin"))
    fake.on("GET", "/artifacts/default/m/m.bin", RAW)
    assert flowdapt("artifact", "get", "m", "-O", str(tmp_path)).code == 0
    assert (tmp_path / "m.bin").read_bytes() == b"\x00\xffx"


def test_a_file_that_breaks_off_leaves_nothing_behind(
    flowdapt: Program, fake: FakeDaemon, tmp_path: Path
) -> None:
    fake.on("GET", "/artifacts/default/m/m.bin", [RAW[0], b"\x00"])
    assert flowdapt("artifact", "get", "m", "m.bin", "-O", str(tmp_path / "x")).code == 7
    assert list(tmp_path.iterdir()) == []


def test_one_of_several_files_must_be_named(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on("GET", "/artifacts/default/m", detail("a", "b"))
    ended = flowdapt("artifact", "get", "m")
    assert ended.code == 2
    assert "a, b" in ended.err


def test_a_file_is_stored_under_its_name_or_another(
    flowdapt: Program, fake: FakeDaemon, tmp_path: Path
) -> None:
    (tmp_path / "w.bin").write_bytes(b"\x01")
    for name in ("w.bin", "z"):
        fake.on("PUT", f"/artifacts/lab/m/{name}", answer({"name": name, "size_bytes": 1}, 201))
    assert flowdapt("artifact", "put", "m", str(tmp_path / "w.bin"), "-n", "lab").code == 0
    assert flowdapt("artifact", "put", "m", "-", "--as", "z", "-n", "lab", stdin=b"\x02").code == 0
    assert [one.body for one in fake.asked] == [b"\x01", b"\x02"]
    assert flowdapt("artifact", "put", "m", "-").code == 2


def test_previews_and_details_are_shown_escaped(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on("GET", "/artifacts/default/m", detail("a\x1b]0;x\x07"))
    preview = {
        "file": "a",
        "size_bytes": 3,
        "format": "text",
        "about": {"shape": [1, 2]},
        "text": "x\x1b[8m\ny",
        "truncated": True,
    }
    fake.on("GET", "/artifacts/default/m/a/preview", answer(preview))
    shown = (
        flowdapt("describe", "artifact", "m").out + flowdapt("artifact", "preview", "m", "a").out
    )
    assert "\x1b" not in shown
    assert r"x\x1b[8m" in shown
    assert "loss: 0.5" in shown


# -- secrets, plugins, the daemon ---------------------------------------------------------------------


def test_a_secret_comes_by_stdin_or_file_and_is_never_printed(
    flowdapt: Program, fake: FakeDaemon, tmp_path: Path
) -> None:
    fake.on("PUT", "/secrets/KEY", answer({"name": "KEY", "place": "file"}))
    (tmp_path / "key").write_text("from file\r\n")
    ended = flowdapt("secret", "set", "KEY", stdin="s3cret\n")
    flowdapt("secret", "set", "KEY", "--from-file", str(tmp_path / "key"))
    assert [one.json() for one in fake.asked] == [{"value": "s3cret"}, {"value": "from file"}]
    assert "s3cret" not in ended.out + ended.err
    assert flowdapt("secret", "set", "KEY", stdin="\n").code == 2


def test_a_plugin_that_could_not_be_loaded_is_found(flowdapt: Program, fake: FakeDaemon) -> None:
    good = {
        "name": "builtin",
        "version": "1",
        "enabled": True,
        "provides": ["executor:local"],
        "error": None,
    }
    fake.on(
        "GET",
        "/plugins",
        answer(
            {"items": [good, good | {"name": "nowcast", "enabled": False, "error": "no module x"}]}
        ),
    )
    assert "✖ disabled" in flowdapt("plugin", "ls").out
    ended = flowdapt("plugin", "check")
    assert (ended.code, ended.out) == (1, "✖ nowcast  no module x\n")


def test_the_daemons_figures_are_a_list(flowdapt: Program, fake: FakeDaemon) -> None:
    text = '# HELP x y\nflowdapt_runs{state="a\\"b",w="x y"} 3\nflowdapt_s_bucket{le="1"} 9\nup 1.5e3\n'
    fake.on(
        "GET", "/metrics", [b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n", text.encode()]
    )
    rows = flowdapt("metrics", "-o", "json").json()["items"]
    assert rows == [
        {"name": "flowdapt_runs", "labels": {"state": 'a\\"b', "w": "x y"}, "value": 3.0},
        {"name": "up", "labels": {}, "value": 1500.0},
    ]
    assert flowdapt("metrics", "-o", "wide").out == text
    assert len(flowdapt("metrics", "runs", "-o", "name").out.splitlines()) == 1


def test_any_request_can_be_sent(flowdapt: Program, fake: FakeDaemon, tmp_path: Path) -> None:
    fake.on("POST", "/runs/r/cancel", answer({"a": "\x1b"}))
    fake.on("GET", "/status", problem(503, "daemon.draining"))
    (tmp_path / "body").write_text('{"x": 1}')
    ended = flowdapt(
        "api", "post", "/api/v1/runs/r/cancel", "-d", f"@{tmp_path / 'body'}", "-H", "If-Match: *"
    )
    assert (ended.code, ended.json()) == (0, {"a": "\x1b"})
    assert (fake.asked[0].json(), fake.asked[0].headers["if-match"]) == ({"x": 1}, "*")
    assert flowdapt("api", "GET", "status").code == 7


def _event(number: int, kind: str = "a.b") -> dict[str, Any]:
    when = "2026-01-01T00:00:00Z"
    return {"cursor": number, "id": str(number), "time": when, "type": kind, "subject": "s"}


def test_what_happened_to_an_executor_is_told_in_words(flowdapt: Program, fake: FakeDaemon) -> None:
    data = {"name": "lab", "kind": "dask", "from": 1, "to": 2, "minimum": 1, "maximum": None}
    event = {
        "cursor": 1,
        "type": "com.event.executor.scaled",
        "subject": "executor/lab",
        "data": data,
    }
    fake.on("GET", "/events", answer({"items": [event], "newest": 1}))
    told = flowdapt("events").out
    assert "executor.scaled  executor/lab  kind=dask from=1 to=2 minimum=1\n" in told


def test_the_newest_events_are_asked_for_and_no_others(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on("GET", "/events", answer({"items": [_event(7), _event(9)], "newest": 9}))
    ended = flowdapt(
        "events", "--type", "*.x", "--type", "trigger.*", "--run", "r", "--workflow", "w",
        "--subject", "run/", "--since", "2026-01-01T00:00:00Z", "-o", "name",
    )  # fmt: skip
    assert ended.out.split() == ["7", "9"]
    assert fake.asked[-1].query == {
        "type": ["*.x", "trigger.*", "com.event.trigger.*"], "run": ["r"], "workflow": ["w"],
        "subject": ["run/"], "since": ["2026-01-01T00:00:00+00:00"], "tail": ["true"],
        "limit": ["50"],
    }  # fmt: skip


def test_more_events_than_a_page_are_read_page_by_page(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on(
        "GET", "/events",
        answer({"items": [_event(n) for n in range(1, 501)], "next": 500}),
        answer({"items": [_event(n) for n in range(501, 701)], "next": None}),
    )  # fmt: skip
    ended = flowdapt("events", "--limit", "600", "-o", "name")
    assert ended.out.split() == [str(n) for n in range(101, 701)]


def test_events_are_followed_from_where_the_newest_ended(
    flowdapt: Program, fake: FakeDaemon
) -> None:
    gap = {"reason": "too slow", "from": 10, "to": 13, "missed": 3}
    fake.on(
        "GET", "/events",
        answer({"items": [_event(7)], "newest": 9}),
        lambda _: stream(("a.b", _event(10)), ("gap", gap)),
        lambda _: stream(("a.b", _event(14))),
        problem(403, "denied"),
    )  # fmt: skip
    ended = flowdapt("events", "-f", "-o", "jsonl")
    assert [json.loads(line)["cursor"] for line in ended.out.splitlines()] == [7, 10, 14]
    # A daemon that ended in order may come again.
    assert [asked.query.get("after") for asked in fake.asked] == [None, ["9"], ["13"], ["14"]]
    assert ended.code == 6
    assert "3 events are not shown: too slow" in ended.err


@pytest.mark.parametrize(
    ("words", "data"),
    [
        ((), None),
        (("--data", '{"n": 1}'), {"n": 1}),
        (("--data", "bare words"), "bare words"),
        (("--data", "@-"), [1, 2]),
    ],
)
def test_an_event_of_ones_own_is_posted(
    flowdapt: Program, fake: FakeDaemon, words: tuple[str, ...], data: Any
) -> None:
    fake.on("POST", "/events", answer(_event(3, "org.example.x"), 201))
    ended = flowdapt("post", "org.example.x", "--id", "one", *words, "-o", "name", stdin="[1, 2]")
    assert (ended.code, ended.out) == (0, "3\n")
    assert fake.asked[-1].json() == {
        "specversion": "1.0", "type": "org.example.x", "id": "one", "source": "flowdapt-cli",
        "data": data,
    }  # fmt: skip


# -- without a daemon -----------------------------------------------------------------------------------


def test_explain_tells_the_fields_of_a_kind(flowdapt: Program) -> None:
    ended = flowdapt("explain", "workflow.stages.retry", columns=60)
    assert "max_attempts  integer = 1" in ended.out
    assert max(map(len, ended.out.splitlines())) <= 60
    assert {
        one["name"] for one in flowdapt("explain", "config", "-o", "json").json()["fields"]
    } >= {"kind", "spec"}
    wrong = flowdapt("explain", "workflow.stages.retires")
    assert wrong.code == 3
    assert "retry" in wrong.err


def test_the_version_is_the_packages(flowdapt: Program) -> None:
    assert flowdapt("--version").out == f"flowdapt {__version__}\n"
    assert flowdapt("version", "-o", "json").json()["version"] == __version__


def test_a_new_project_passes_its_own_tests(flowdapt: Program, tmp_path: Path) -> None:
    project = tmp_path / "my first-project"
    assert flowdapt("init", str(project)).code == 0
    assert flowdapt("validate", "-f", str(project / "workflow.yaml")).code == 0
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=project, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_a_project_never_overwrites_another(flowdapt: Program, tmp_path: Path) -> None:
    (tmp_path / "workflow.yaml").write_text("mine")
    assert flowdapt("init", str(tmp_path)).code == 4
    assert [one.name for one in tmp_path.iterdir()] == ["workflow.yaml"]


def test_the_systemd_unit_can_be_looked_at(flowdapt: Program, flowdapt_home: Path) -> None:
    unit = flowdapt("service", "install", "--print").out
    assert f"ExecStart={sys.executable} -P -m flowdapt up --foreground" in unit
    assert f'Environment="FLOWDAPT_HOME={flowdapt_home}"' in unit
    assert "Type=notify" in unit


def test_the_systemd_unit_is_written_where_systemd_looks(
    flowdapt: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert flowdapt("service", "install", "--no-start").code == 0
    assert (tmp_path / "systemd/user/flowdapt.service").read_text().startswith("[Unit]")
    monkeypatch.setenv("PATH", "/nonexistent")
    ended = flowdapt("service", "install")
    assert ended.code == 7
    assert "systemctl" in ended.err


def test_a_unit_that_systemd_refuses_is_taken_back(
    flowdapt: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = tmp_path / "bin" / "systemctl"
    refusing.parent.mkdir()
    refusing.write_text("#!/bin/sh\necho no bus >&2; exit 1\n")
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", str(refusing.parent))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    ended = flowdapt("service", "install")
    assert ended.code == 7
    assert "no bus" in ended.err
    unit = tmp_path / "config" / "systemd" / "user" / "flowdapt.service"
    assert not unit.exists()
    unit.write_text("mine")
    assert flowdapt("service", "install").code == 7
    assert unit.read_text() == "mine"


def test_lines_of_a_stage_that_does_not_exist_are_refused(
    flowdapt: Program, fake: FakeDaemon
) -> None:
    fake.on("GET", "/runs/r", answer(run(stages=[{"name": "fit"}, {"name": "report"}])))
    ended = flowdapt("logs", "r", "--stage", "fitt")
    assert ended.code == 3
    assert "did you mean 'fit'?" in ended.err


def test_the_doctor_finds_a_home_that_cannot_be_made(
    flowdapt: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FLOWDAPT_HOME", str(tmp_path / "file" / "home"))
    ended = flowdapt("doctor", "-o", "json")
    assert ended.code == 1
    (found,) = [one for one in ended.json()["items"] if one["check"] == "directories"]
    assert (found["level"], found["message"]) == (
        "problem",
        f"{tmp_path / 'file' / 'home'} cannot be made",
    )


def test_an_event_of_a_run_is_told_in_words(flowdapt: Program, fake: FakeDaemon) -> None:
    data = {
        "workflow": "train",
        "stage": "fit",
        "state": "failed",
        "reason": "stage_failed",
        "error": {"type": "builtins.ValueError", "message": "no rows"},
    }
    event = {"id": "1", "time": "2026-01-01T00:00:00Z", "type": "com.event.x.y", "data": data}
    fake.on("GET", "/events", answer({"items": [event], "next": None}))
    assert "train/fit failed (stage_failed) ValueError: no rows" in flowdapt("events").out
    assert flowdapt("events", "-o", "json").json()["items"][0]["data"] == data
    assert flowdapt("events", "--limit", "-1").code == 0
