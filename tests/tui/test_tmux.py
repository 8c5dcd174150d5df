"""One sitting at the workstation, in a real tmux: from no daemon at all to a run that was repaired."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.shells import Shell, stage
from tests.waiting import eventually

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="there is no tmux on this machine"),
]

CODE = """
    import os, pathlib, time

    def stage(folder):
        folder = pathlib.Path(folder)
        (folder / f"{os.getpid()}.pid").touch()
        while not (folder / "mended").exists():
            time.sleep(0.02)
        return "done"
"""


@dataclass
class Tmux:
    """A tmux server of the test's own, with one session."""

    socket: Path
    home: Path

    def __call__(self, *words: str) -> str:
        command = ["tmux", "-S", str(self.socket), "-f", "/dev/null", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def open(self, *command: str) -> None:
        environ = ["-e", f"FLOWDAPT_HOME={self.home}", "-e", "LANG=C.UTF-8", "-e", "LC_ALL=C.UTF-8"]
        self("new-session", "-d", "-x", "120", "-y", "34", *environ, " ".join(command))

    def keys(self, *keys: str) -> None:
        self("send-keys", *keys)

    def screen(self) -> str:
        return self("capture-pane", "-p")

    def until(self, pattern: str, within_s: float = 40.0) -> str:
        """Wait for a pattern on screen; return what it matched."""
        found = eventually(
            lambda: re.search(pattern, self.screen()), timeout_s=within_s, every_s=0.1, what=pattern
        )
        assert found is not None
        return found[0]

    def leave(self, words: str) -> None:
        """Press escape and wait until these words are gone: a key right behind it would be another."""
        self.keys("Escape")
        eventually(lambda: words not in self.screen(), what=f"{words} is left")

    def runs(self) -> bool:
        with contextlib.suppress(subprocess.CalledProcessError):
            return bool(self("list-sessions"))
        return False


@pytest.fixture
def tmux() -> Iterator[Tmux]:
    folder = Path(tempfile.mkdtemp(prefix="fd-"))
    (folder / "h").mkdir(mode=0o700)
    made = Tmux(folder / "tmux", folder / "h")
    yield made
    with contextlib.suppress(subprocess.CalledProcessError):
        made("kill-server")
    Shell(made.home)("down", "--now")
    shutil.rmtree(folder, ignore_errors=True)


def kill_workers(folder: Path, shell: Shell, name: str) -> None:
    """Kill whichever process works on the stage, until the run is given up."""

    def given_up() -> bool:
        for file in folder.glob("*.pid"):
            file.unlink()
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(file.stem), signal.SIGKILL)
        return bool(shell.json("runs", "show", name)["state"] == "failed")

    eventually(given_up, timeout_s=90, every_s=0.1, what="the run is given up")


def test_a_sitting_from_no_daemon_to_a_run_that_was_repaired(tmux: Tmux, tmp_path: Path) -> None:
    tmux.open(sys.executable, "-m", "flowdapt")
    tmux.until("live")
    tmux.until("Nothing is here yet")

    shell = Shell(tmux.home)
    shell.module("fragile", CODE)
    shell.apply("fragile", stage("work", "fragile.stage"))
    shell("run", "fragile", "--folder", str(tmp_path), "--no-wait", ok=True)

    tmux.until(r"fragile +▶")
    tmux.keys("3")
    name = tmux.until(r"(?<=▶ running) +\S+").strip()
    kill_workers(tmp_path, shell, name)
    tmux.until(rf"✖ failed +{name}")

    tmux.keys("w")
    tmux.until(rf"Why is {name} failed")
    tmux.leave("Why is")
    (tmp_path / "mended").touch()
    tmux.keys("R")
    tmux.until(rf"Retry {name}")
    tmux.keys("C-s")
    tmux.until("✔ finished")
    tmux.keys("C-l")
    tmux.until(rf"flowdapt runs retry {name}")
    tmux.leave("flowdapt runs retry")

    tmux.keys("q")
    eventually(lambda: not tmux.runs(), what="it is left")
    assert shell.json("status")["runs"]["running"] == 0
    assert [run["state"] for run in shell.json("runs", "ls")["items"]] == ["finished", "failed"]
