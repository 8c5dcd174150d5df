"""`flowdapt run`: what is sent, what is printed, how it ends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from flowdapt.cli import waiting
from tests.cli.conftest import Program
from tests.client.fake_daemon import FakeDaemon, answer, hang_up, problem, run, stream

if TYPE_CHECKING:
    from pathlib import Path

SUBMIT = "/workflows/train/runs"
ERROR = {
    "type": "builtins.ValueError",
    "message": "no rows",
    "traceback": "File x\nValueError",
    "stage": "fit",
}


def stage(name: str, state: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": "simple", "state": state, **more}


def sent(fake: FakeDaemon) -> Any:
    return fake.calls("POST", SUBMIT)[0].json()


@pytest.mark.parametrize(
    ("words", "input_"),
    [
        (["--n_vals", "5"], {"n_vals": 5}),
        (["--n", "5"], {"n": 5}),
        (["--at", "2013-11-28T12:00Z", "--deep"], {"at": "2013-11-28T12:00Z", "deep": True}),
        (["--loss=-0.5", "--names", '["a"]'], {"loss": -0.5, "names": ["a"]}),
        (["--lr", "-3"], {"lr": -3}),
        (["--input", "a=1", "-i", "b=x=y", "--input", "c={}"], {"a": 1, "b": "x=y", "c": {}}),
        (["--input", "a=1", "--a", "2"], {"a": 2}),
        ([], None),
    ],
)
def test_inputs_may_be_given_in_all_these_ways(
    flowdapt: Program, fake: FakeDaemon, words: list[str], input_: Any
) -> None:
    fake.on("POST", SUBMIT, answer(run()))
    assert flowdapt("run", "train", *words).code == 0
    assert sent(fake).get("input") == input_


def test_inputs_may_lie_in_a_file_or_come_by_stdin(
    flowdapt: Program, fake: FakeDaemon, tmp_path: Path
) -> None:
    fake.on("POST", SUBMIT, answer(run()))
    file = tmp_path / "input.yaml"
    file.write_text("a: 1\nb: [x]\n")
    flowdapt("run", "train", "--input-file", str(file), "--a", "2")
    flowdapt("run", "train", "--input-file", "-", stdin='{"c": null}')
    first, second = (one.json()["input"] for one in fake.calls("POST", SUBMIT))
    assert (first, second) == ({"a": 2, "b": ["x"]}, {"c": None})


def test_everything_about_a_run_can_be_said(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on("POST", SUBMIT, answer(run()))
    flowdapt("run", "train", "--on", "lab", "-n", "ns", "-l", "team=a", "--priority", "3",
             "--run-timeout", "2h", "--key", "k1")  # fmt: skip
    assert sent(fake) == {
        "executor": "lab", "namespace": "ns", "labels": {"team": "a"}, "priority": 3, "timeout": "2h",
    }  # fmt: skip
    assert fake.asked[0].headers["idempotency-key"] == "k1"


def test_a_run_is_printed_as_one_json_document(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on("POST", SUBMIT, answer(run()))
    ended = flowdapt("run", "train", "-o", "json")
    assert (ended.code, ended.json()) == (0, run())


def test_a_lost_reply_is_asked_for_again_with_the_same_key(
    flowdapt: Program, fake: FakeDaemon
) -> None:
    fake.on("POST", SUBMIT, hang_up(), answer(run()))
    assert flowdapt("run", "train", "-o", "name").out == f"{run()['name']}\n"
    keys = {one.headers["idempotency-key"] for one in fake.calls("POST", SUBMIT)}
    assert len(keys) == 1


def test_a_failed_run_ends_with_1_and_says_what_to_do(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on(
        "POST", SUBMIT, answer(run(state="failed", reason="stage_failed", error=ERROR, result=None))
    )
    ended = flowdapt("run", "train")
    assert ended.code == 1
    assert '✖ stage "fit"  ValueError: no rows   [run.stage_failed]' in ended.err
    assert "fix:" in ended.err
    assert "File x" not in ended.err
    assert "File x" in flowdapt("run", "train", "-v").err


def test_a_failed_run_is_json_all_the_same(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on("POST", SUBMIT, answer(run(state="failed", error=ERROR)))
    ended = flowdapt("run", "train", "-o", "json")
    assert (ended.code, ended.json()["error"]) == (1, ERROR)


def test_a_cancelled_run_is_no_success(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on("POST", SUBMIT, answer(run(state="cancelled", reason="user", result=None)))
    assert flowdapt("run", "train").code == 1


def test_without_waiting_it_ends_when_the_run_is_stored(
    flowdapt: Program, fake: FakeDaemon
) -> None:
    fake.on("POST", SUBMIT, answer(run(state="queued", result=None), 202))
    ended = flowdapt("run", "train", "--no-wait", "-o", "json")
    assert (ended.code, ended.json()["state"], len(fake.asked)) == (0, "queued", 1)
    assert "prefer" not in fake.asked[0].headers


def test_waiting_goes_on_until_the_run_has_ended(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on("POST", SUBMIT, answer(run(state="running", result=None), 202))
    fake.on("GET", f"/runs/{run()['uid']}", answer(run(state="running")), answer(run()))
    assert flowdapt("run", "train", "-o", "json").json()["state"] == "finished"


def test_patience_may_end_before_the_run(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on("POST", SUBMIT, answer(run(state="running", result=None), 202))
    ended = flowdapt("run", "train", "--timeout", "1ms")
    assert ended.code == 8
    assert f"flowdapt runs wait {run()['name']}" in ended.err


def test_the_result_alone_can_be_piped(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on("POST", SUBMIT, answer(run(result=None)))
    fake.on("GET", f"/runs/{run()['uid']}/result", answer({"loss": 0.5}))
    ended = flowdapt("run", "train", "--result-only", "-o", "json")
    assert (ended.code, ended.json(), ended.err) == (0, {"loss": 0.5}, "")


def test_following_tells_each_stage_once_in_lines(flowdapt: Program, fake: FakeDaemon) -> None:
    items = {"total": 6, "finished": 2, "failed": 1, "running": 2}
    fake.on("POST", SUBMIT, answer(run(state="queued", result=None), 202))
    fake.on("GET", "/runs", answer({"items": [], "next": None}))
    fake.on("GET", f"/runs/{run()['uid']}", answer(run(state="running", result=None)))
    fake.on(
        "GET", f"/runs/{run()['uid']}/watch",
        lambda _: stream(
            ("run", run(state="running", stages=[stage("a", "running"), stage("b", "pending")])),
            ("run", run(state="running", stages=[stage("a", "running"), stage("b", "pending")])),
            cut=True,
        ),
        lambda _: stream(
            ("run", run(state="running", stages=[stage("a", "finished"), stage("b", "running", items=items)])),
            ("run", run(stages=[stage("a", "finished"), stage("b", "finished")])),
        ),
    )  # fmt: skip
    ended = flowdapt("run", "train", "--follow")
    told = [line.split(maxsplit=1)[1] for line in ended.err.splitlines()]
    assert told == [
        "▶ running    a",
        "✔ finished   a",
        "▶ running    b  2/6  1 ✖",
        "✔ finished   b",
    ]
    assert ended.code == 0
    assert "✔ finished" in ended.out


def test_ctrl_c_leaves_the_run_and_says_how_to_come_back(
    flowdapt: Program, fake: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(waiting, "_asked", interrupted)
    monkeypatch.setattr(waiting, "SECOND_THOUGHTS_S", 0)
    fake.on("POST", SUBMIT, answer(run(state="running", result=None), 202))
    ended = flowdapt("run", "train")
    assert ended.code == 130
    assert f"flowdapt runs wait {run()['name']}" in ended.err
    assert fake.calls("POST", f"/runs/{run()['name']}/cancel") == []


def test_a_second_ctrl_c_cancels_the_run(
    flowdapt: Program, fake: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(waiting, "_asked", interrupted)
    monkeypatch.setattr(waiting, "_second_thoughts", interrupted)
    fake.on("POST", SUBMIT, answer(run(state="running", result=None), 202))
    fake.on("POST", f"/runs/{run()['name']}/cancel", answer(run(state="cancelling"), 202))
    assert flowdapt("run", "train").code == 130
    assert len(fake.calls("POST", f"/runs/{run()['name']}/cancel")) == 1


def test_an_input_that_does_not_fit_is_refused_with_its_place(
    flowdapt: Program, fake: FakeDaemon
) -> None:
    wrong = [
        {"loc": ["input", "n"], "msg": "'x' is not of type \"integer\"", "code": "run.bad_input"}
    ]
    fake.on("POST", SUBMIT, problem(422, "run.bad_input", "the input does not fit", errors=wrong))
    ended = flowdapt("run", "train", "--n", "x")
    assert ended.code == 5
    assert "✖ input.n  'x' is not of type" in ended.err


def test_what_a_stage_returned_cannot_steer_the_terminal(
    flowdapt: Program, fake: FakeDaemon
) -> None:
    evil = "\x1b]52;c;aGk=\x07\x9b2J\u202e[/red]"
    bad = dict(ERROR, message=evil, stage=evil)
    fake.on("POST", SUBMIT, answer(run(name=evil, state="failed", error=bad, result=evil)))
    for words in ([], ["-o", "json"], ["-o", "yaml"], ["-o", "name"], ["-v"]):
        ended = flowdapt("run", "train", *words)
        assert not any(c in ended.out + ended.err for c in "\x1b\x07\x9b\u202e"), words
    assert json.loads(flowdapt("run", "train", "-o", "json").out)["name"] == evil


@pytest.mark.parametrize("words", [[], ["--follow"]])
def test_a_run_that_does_not_begin_says_why(
    flowdapt: Program, fake: FakeDaemon, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setattr(waiting, "_BEGINS_WITHIN_S", 0)
    queued = run(state="queued", result=None)
    reason = {
        "subject": "run r",
        "code": "run.held",
        "message": "too little disk is free",
        "fix": "flowdapt status",
    }
    fake.on("POST", SUBMIT, answer(queued, 202))
    fake.on("GET", f"/runs/{queued['uid']}", answer(queued), answer(queued), answer(run()))
    fake.on("GET", f"/runs/{queued['uid']}/explain", answer({"items": [reason]}))
    fake.on("GET", "/runs", answer({"items": [], "next": None}))
    fake.on("GET", f"/runs/{queued['uid']}/watch", lambda _: stream(("run", run())))
    ended = flowdapt("run", "train", *words)
    assert ended.code == 0
    assert "too little disk is free   [run.held]" in ended.err
    assert "fix:  flowdapt status" in ended.err


def test_a_failure_names_the_line_of_the_users_code(
    flowdapt: Program, fake: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    traceback = (
        "Traceback (most recent call last):\n"
        '  File "/elsewhere/a.py", line 3, in outer\n    inner()\n'
        f'  File "{tmp_path}/modules/b.py", line 8, in inner\n    return 1 / 0\n'
        "ZeroDivisionError: division by zero\n"
    )
    fake.on("POST", SUBMIT, answer(run(state="failed", error=ERROR | {"traceback": traceback})))
    told = flowdapt("run", "train").err.splitlines()
    assert "    at modules/b.py:8 in inner" in told
    assert "        return 1 / 0" in told
    assert not any("a.py" in line for line in told)
    assert "a.py" in flowdapt("run", "train", "-v").err


def test_a_result_that_is_not_json_is_told_by_its_preview(
    flowdapt: Program, fake: FakeDaemon
) -> None:
    told = {"type": "builtins.list", "length": 5000, "head": "[('a', 1), ...]"}
    found = run(result=None, result_preview=told, result_size_bytes=40)
    fake.on("POST", SUBMIT, answer(found))
    fake.on("GET", f"/runs/{found['uid']}/result", problem(422, "run.result_not_json", "not JSON"))
    assert "result: list of 5,000: [('a', 1), ...]  40 B" in flowdapt("run", "train").out
    alone = flowdapt("run", "train", "--result-only")
    assert (alone.code, alone.out) == (5, "")
    assert f"fix:  flowdapt runs show {found['uid']}" in alone.err


def test_a_run_whose_first_stage_cannot_begin_says_why(
    flowdapt: Program, fake: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_BEGINS_WITHIN_S", 0)
    held = run(state="running", result=None, stages=[stage("fit", "pending")])
    reasons = [
        {"subject": "run r", "code": "run.running", "message": "it runs"},
        {
            "subject": "stage fit",
            "code": "stage.waits_for_slot",
            "message": "asks gpus=4",
            "fix": "x",
        },
    ]
    fake.on("POST", SUBMIT, answer(held, 202))
    fake.on("GET", f"/runs/{held['uid']}", answer(held), answer(run()))
    fake.on("GET", f"/runs/{held['uid']}/explain", answer({"items": reasons}))
    assert "asks gpus=4   [stage.waits_for_slot]" in flowdapt("run", "train").err


def test_a_stage_that_is_only_slow_to_start_is_no_news(
    flowdapt: Program, fake: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_BEGINS_WITHIN_S", 0)
    held = run(state="running", result=None, stages=[stage("fit", "pending")])
    reasons = [{"subject": "run r", "code": "run.running", "message": "it runs"}]
    fake.on("POST", SUBMIT, answer(held, 202))
    fake.on("GET", f"/runs/{held['uid']}", answer(held), answer(run()))
    fake.on("GET", f"/runs/{held['uid']}/explain", answer({"items": reasons}))
    assert flowdapt("run", "train").err == ""
