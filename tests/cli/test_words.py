"""Which words mean which command, and what a slip is told."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import pytest

from flowdapt.cli.commands import ENTRIES
from flowdapt.cli.main import EXIT_CODES, _load, exit_code_of
from flowdapt.cli.screen import Screen
from flowdapt.cli.usage import UsageProblem
from flowdapt.domain import errors
from tests.cli.conftest import Program
from tests.client.fake_daemon import FakeDaemon, answer, problem, run

if TYPE_CHECKING:
    from pathlib import Path

COMMANDS = [
    (entry.name, sub)
    for entry in ENTRIES
    for sub in (_load(entry.module).by_name if entry.group else [""])
]


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",), ("help",)])
def test_without_a_command_the_overview_names_every_command(
    flowdapt: Program, words: tuple[str, ...]
) -> None:
    ended = flowdapt(*words)
    assert ended.code == 0
    assert [
        e.name for e in ENTRIES if not re.search(rf"^  {e.name} ", ended.out, re.MULTILINE)
    ] == []
    assert max(len(line) for line in ended.out.splitlines()) <= 80


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_tells_what_it_does(flowdapt: Program, words: tuple[str, str]) -> None:
    ended = flowdapt(*filter(None, words), "--help")
    assert ended.code == 0
    assert f"usage: flowdapt {' '.join(filter(None, words))}" in ended.out
    assert "options of every command" in ended.out


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_option_and_word_is_explained(words: tuple[str, str]) -> None:
    entry = next(e for e in ENTRIES if e.name == words[0])
    command = _load(entry.module).by_name[words[1] or words[0]]
    silent = [a.dest for a in command.parser("x")._actions if not a.help]
    assert silent == []
    assert command.summary


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["rnus", "ls"], "runs"),
        (["statsu"], "status"),
        (["why", "x"], "runs why"),
        (["ls"], "runs ls"),
        (["tui"], "ui"),
        (["runs", "ls", "--state", "runing"], "running"),
        (["runs", "ls", "--sort", "duraton"], "duration"),
        (["runs", "shwo", "x"], "show"),
        (["run", "train", "--folow"], "--follow"),
        (["runs", "ls", "--limt", "3"], "--limit"),
        (["ui", "--view", "run"], "runs"),
        (["ui", "--web", "--view", "trigers"], "triggers"),
        (["get", "workflws"], "workflows"),
        (["get", "rnu"], "run"),
    ],
)
def test_a_slip_is_answered_with_what_was_meant(
    flowdapt: Program, words: list[str], meant: str
) -> None:
    ended = flowdapt(*words)
    assert ended.code == 2
    assert ended.out == ""
    assert f'did you mean "{meant}"?' in ended.err
    assert "fix:" in ended.err


@pytest.mark.parametrize(
    "words",
    [
        ["runs", "show"],
        ["runs", "show", "a", "b"],
        ["runs", "ls", "--limit", "many"],
        ["runs", "ls", "--limit", "0"],
        ["get", "workflow", "-l", "team"],
        ["get", "workflow", "-o", "xml"],
        ["run", "train", "--timeout", "soon"],
        ["logs", "x", "--level", "loud"],
        ["apply"],
        ["apply", "-f", "x", "--prune"],
        ["delete"],
        ["up", "--services", "api,cooking"],
        ["api", "FETCH", "/status"],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2_and_a_way_out(flowdapt: Program, words: list[str]) -> None:
    ended = flowdapt(*words)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("✖ ")
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    "words",
    [
        ["-o", "json", "runs", "ls"],
        ["runs", "-o", "json", "ls"],
        ["runs", "ls", "-o", "json"],
        ["runs", "ls", "--format=json"],
        ["--format", "json", "get", "runs"],
        ["get", "run", "-q", "-o", "json"],
    ],
    ids=" ".join,
)
def test_common_options_may_stand_anywhere(
    flowdapt: Program, fake: FakeDaemon, words: list[str]
) -> None:
    fake.on("GET", "/runs", answer({"items": [run()], "next": None}))
    ended = flowdapt(*words)
    assert ended.json() == {"items": [run()], "next": None}


def test_the_server_may_be_named(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on("GET", "/status", answer({"pid": 7}))
    assert flowdapt("status", "-o", "json", "-s", str(fake.path)).json() == {"pid": 7}
    assert flowdapt("status", "-s", f"{fake.path}.not").code == 7


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageProblem("x"), 2),
        (errors.NotFound("x"), 3),
        (errors.MissingArtifact("x"), 3),
        (errors.StaleRevision("x"), 4),
        (errors.KeyReused("x"), 4),
        (errors.InvalidDocument("x"), 5),
        (errors.UnknownField("x"), 5),
        (errors.Denied("x"), 6),
        (errors.Unreachable("x"), 7),
        (errors.ExecutorUnavailable("x"), 7),
        (errors.TimedOut("x"), 8),
        (errors.CorruptStore("x"), 65),
        (errors.NewerStore("x"), 66),
        (errors.AlreadyRunning("x"), 73),
        (errors.FlowdaptError("x"), 70),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_kind_of_error_has_its_exit_code(error: errors.FlowdaptError, code: int) -> None:
    assert exit_code_of(error) == code


def test_daemon_and_program_agree_on_the_codes_of_a_refused_start() -> None:
    from flowdapt.daemon import EXIT_CODES as OF_THE_DAEMON

    both = EXIT_CODES.keys() & OF_THE_DAEMON.keys()
    assert both
    assert {kind: EXIT_CODES[kind] for kind in both} == {kind: OF_THE_DAEMON[kind] for kind in both}


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [(404, "not_found", 3), (409, "conflict", 4), (422, "workflow.cycle", 5), (403, "denied", 6),
     (503, "daemon.draining", 7), (500, "internal", 70)],
)  # fmt: skip
def test_a_refusal_of_the_daemon_ends_with_its_code(
    flowdapt: Program, fake: FakeDaemon, status: int, code: str, exit_code: int
) -> None:
    fake.on("GET", "/runs/x", problem(status, code, "so it is", fix="do this"))
    ended = flowdapt("runs", "show", "x")
    assert ended.code == exit_code
    assert ended.err == f"✖ so it is   [{code}]\n  fix:  do this\n"


def test_no_daemon_and_none_to_be_started_ends_with_7(flowdapt: Program) -> None:
    ended = flowdapt("runs", "ls")
    assert (ended.code, ended.out) == (7, "")
    assert "flowdapt up" in ended.err


def test_a_bug_shows_its_traceback_only_when_asked(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on("GET", "/runs", answer({"items": [{"state": "finished"}], "next": None, "x": 1}))
    fake.on("GET", "/executors", answer({}))
    quiet, verbose = flowdapt("executor", "ls"), flowdapt("executor", "ls", "-v")
    assert (quiet.code, verbose.code) == (70, 70)
    assert "Traceback" not in quiet.err
    assert "Traceback" in verbose.err


def test_flowctl_words_of_the_earlier_program_work(
    flowdapt: Program, fake: FakeDaemon, tmp_path: object
) -> None:
    resource = {
        "kind": "workflow",
        "metadata": {"name": "w", "revision": 1},
        "spec": {"stages": []},
    }
    fake.on("GET", "/workflows/w", answer(resource))
    fake.on("GET", "/workflows", answer({"items": [resource], "next": None}))
    fake.on("GET", "/runs", answer({"items": [], "next": None}))
    fake.on("POST", "/apply", answer({"items": []}))
    assert flowdapt("inspect", "workflow", "w", "--format", "json").json() == resource
    assert flowdapt("get", "workflows", "--format", "name").out == "w\n"
    assert flowdapt("get", "workflow", "--format", "name").out == "w\n"
    assert flowdapt("apply", "-p", "-", stdin="kind: workflow").code == 0
    assert flowdapt("apply", "--path", "-", stdin="kind: workflow").code == 0


def test_the_way_out_is_the_whole_command_that_was_meant(flowdapt: Program) -> None:
    assert (
        "fix:  flowdapt runs retry 'my run' --follow" in flowdapt("retry", "my run", "--follow").err
    )


@pytest.mark.parametrize(
    ("directory", "code"),
    [("file/inside", 2), ("file", 2), ("/proc/flowdapt/inside", 3)],
)
def test_a_place_that_cannot_be_written_is_no_bug_of_ours(
    flowdapt: Program, tmp_path: Path, directory: str, code: int
) -> None:
    (tmp_path / "file").touch()
    ended = flowdapt("init", str(tmp_path / directory))
    assert ended.code == code
    assert "internal" not in ended.err


def test_glyphs_become_ascii_where_the_encoding_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding="ascii"))
    screen = Screen.of_this_process()
    screen.data("✔ finished  ◌ queued  é")
    screen.flush()
    assert written.getvalue() == b"+ finished  o queued  \\xe9\n"
