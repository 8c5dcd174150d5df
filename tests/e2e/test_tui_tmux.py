"""A newcomer's quarter of an hour in tmux: start, the demo, a failure, why, the repair, and home again."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.shells import Shell, stage
from tests.e2e.tmux import Tmux, running_tmux
from tests.waiting import eventually

pytestmark = [pytest.mark.terminal, pytest.mark.slow]
PROGRAM = f"{sys.executable} -m flowdapt"
CODE = """
    import os, pathlib, time

    def stage(folder):
        here = pathlib.Path(folder)
        (here / "pid").write_text(str(os.getpid()))
        print("waiting for the flag")
        while not (here / "flag").exists():
            time.sleep(0.02)
        return "done"
"""


@pytest.fixture
def shell() -> Iterator[Shell]:
    folder = Path(tempfile.mkdtemp(prefix="fd-"))
    shell = Shell(folder / "h")
    yield shell
    shell("down", "--now", "--timeout", "20")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def tmux(shell: Shell) -> Iterator[Tmux]:
    with running_tmux({"FLOWDAPT_HOME": str(shell.home)}) as tmux:
        yield tmux


def killed(pid_file: Path) -> None:
    """Kill the worker that a stage runs in."""
    pid = eventually(lambda: pid_file.exists() and pid_file.read_text())
    os.kill(int(pid), signal.SIGKILL)
    pid_file.unlink()


def row(text: str, name: str) -> str:
    return next((line for line in text.splitlines() if name in line), "")


def test_start_run_the_demo_and_see_it_finish(shell: Shell, tmux: Tmux) -> None:
    tmux.say(PROGRAM)
    tmux.shows("Nothing is here yet", "live")
    demo = shell.start("demo", "-q")
    tmux.press("3")
    tmux.shows("▶ running", "weather_train", timeout_s=60)
    tmux.shows("✔ finished    ", "weather_train", "weather_pre", timeout_s=90)
    demo.communicate(timeout=60)
    assert demo.returncode == 0
    tmux.press("8")
    tmux.shows("weather-", timeout_s=20)
    tmux.press("q")
    tmux.lacks("artifacts")
    tmux.say("echo ended $?.")
    tmux.shows("ended 0.")


def test_watch_a_run_fail_by_a_kill_understand_it_and_retry_it(
    shell: Shell, tmux: Tmux, tmp_path: Path
) -> None:
    shell.module("waiter", CODE)
    shell.apply("waiter", stage("wait", "waiter.stage", on_lost="fail"))
    run = shell.json("run", "waiter", "--input", f"folder={tmp_path}", "--no-wait")
    tmux.say(f"{PROGRAM} ui --view runs")
    tmux.shows("▶ running", run["name"])
    killed(tmp_path / "pid")
    tmux.shows("✖ failed", run["name"])
    tmux.press("w")
    assert re.search("lost|killed", tmux.shows(f"Why is {run['name']} failed?"))
    tmux.press("Escape")
    tmux.lacks("Why is")
    tmux.press("R")
    tmux.shows(f"Retry {run['name']}")
    tmux.press("C-s")
    eventually((tmp_path / "pid").exists)
    tmux.press("3")
    tmux.shows("▶ running", "✖ failed")
    (tmp_path / "flag").touch()
    tmux.shows("✔ finished", "✖ failed")
    tmux.press("C-l")
    tmux.shows(f"flowdapt runs retry {run['name']}")
    tmux.press("Escape")
    tmux.lacks("What was done here")
    tmux.press("q")
    tmux.lacks("✔ finished")
    tmux.say("echo ended $?.")
    tmux.shows("ended 0.")
    assert shell.json("status")["runs"]["running"] == 0
    assert [run["state"] for run in shell.json("runs", "ls")["items"]] == ["finished", "failed"]


def test_a_daemon_that_is_killed_is_missed_and_found_again(
    shell: Shell, tmux: Tmux, tmp_path: Path
) -> None:
    shell.module("waiter", CODE)
    shell.apply("waiter", stage("wait", "waiter.stage"))
    run = shell.json("run", "waiter", "--input", f"folder={tmp_path}", "--no-wait")
    tmux.say(f"{PROGRAM} ui --view runs")
    tmux.shows("▶ running", run["name"], "live")
    eventually((tmp_path / "pid").exists)
    os.kill(shell.pid, signal.SIGKILL)
    tmux.lacks("live")
    shell("up", ok=True)
    tmux.shows("live", run["name"])
    (tmp_path / "flag").touch()
    eventually(lambda: "✔ finished" in row(tmux.text, run["name"]), timeout_s=60)
    tmux.press("q")


def test_what_is_typed_in_one_burst_is_a_filter_and_no_row_of_keys(
    shell: Shell, tmux: Tmux
) -> None:
    shell.module("work", "def stage():\n        return 1\n")
    shell.apply("work", stage("work", "work.stage"))
    run = shell.json("run", "work")
    tmux.say(f"{PROGRAM} ui --view runs")
    tmux.shows(run["name"], "live")
    tmux.type("/wf~nothing-Dx")
    tmux.shows("wf~nothing-Dx")
    tmux.press("Enter")
    tmux.shows("no run fits the filter")
    tmux.press("q")


def test_it_fits_into_every_window(shell: Shell, tmux: Tmux) -> None:
    shell.module("work", "def stage():\n        return 1\n")
    shell.apply("work", stage("work", "work.stage"))
    run = shell.json("run", "work")
    tmux.say(f"{PROGRAM} ui --view runs")
    tmux.shows(run["name"], "live")
    for columns, rows in ((80, 24), (200, 60), (40, 10), (100, 30)):
        tmux.resize(columns, rows)
        text = tmux.shows("✔", run["name"][:8])
        assert max(map(len, text.splitlines())) <= columns
        assert len(text.splitlines()) <= rows
    tmux.press("q")


def test_in_tmux_a_copy_reaches_the_terminal_around_it(shell: Shell, tmux: Tmux) -> None:
    """What is copied is wrapped for tmux, which hands it on as its own buffer where that is allowed."""
    shell.module("work", "def stage():\n        return 1\n")
    shell.apply("work", stage("work", "work.stage"))
    run = shell.json("run", "work")
    tmux.ask("set-option", "-g", "allow-passthrough", "on")
    tmux.ask("set-option", "-g", "set-clipboard", "on")
    tmux.say(f"{PROGRAM} ui --view runs")
    tmux.shows(run["name"], "live")
    tmux.press("y")
    tmux.shows(f"copied {run['uid']}")
    tmux.press("q")
