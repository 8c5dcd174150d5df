"""The workstation on a real daemon, a real socket and a real (pseudo-)terminal."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flowdapt.client.transports import AsyncHttpxTransport
from flowdapt.tui.app import FlowdaptApp
from flowdapt.tui.options import Options
from tests.e2e.daemons import Daemon
from tests.tui.terminal import Terminal, terminal
from tests.tui.waiting import text_of, until

if TYPE_CHECKING:
    from collections.abc import Iterator

# What a stage may say to harm whoever looks: clipboard, title, hidden text, C1, bidi, cursor moves.
HOSTILE = (
    "\x1b]52;c;ZXZpbA==\x07\x1b]0;owned\x07\x1b[8mhidden\x1b[0m\x9b2J\x9d0;owned\x9c\u202egnp.exe\u2066"
    "\x1b[2J\x1b[H\x1bP+q544e\x1b\\\x00\x08\x7f"
)  # fmt: skip
CODE = f"""
    def stage(loud=False, wait=None):
        if wait:
            import pathlib, time
            while not pathlib.Path(wait).exists():
                time.sleep(0.02)
        if loud:
            raise ValueError({HOSTILE!r})
        return 1
"""


@pytest.fixture(scope="module")
def served() -> Iterator[Daemon]:
    """Share one daemon among the tests of this file; each has workflows of its own."""
    folder = Path(tempfile.mkdtemp(prefix="fd-"))
    daemon = Daemon(folder / "h").start()
    yield daemon
    daemon.kill()
    shutil.rmtree(folder, ignore_errors=True)


def app_on(daemon: Daemon, view: str = "runs") -> FlowdaptApp:
    socket = str(daemon.socket)
    return FlowdaptApp(lambda: AsyncHttpxTransport(socket), options=Options(), first=view)


async def test_a_run_is_seen_from_its_start_to_its_end(served: Daemon, tmp_path: Path) -> None:
    served.define("seen", CODE)
    app = app_on(served)
    async with app.run_test(size=(140, 30)) as pilot:
        await until(pilot, lambda: app.link.live)
        flag = tmp_path / "go"
        run = served.run("seen", wait_s=0, wait=str(flag))
        await until(
            pilot, lambda: re.search(rf"▶ running +{run['name']}", text_of(pilot)), within_s=15
        )
        flag.touch()
        await until(
            pilot, lambda: re.search(rf"✔ finished +{run['name']}", text_of(pilot)), within_s=15
        )
        assert app.faults == []


async def test_the_server_filters_and_sorts_real_runs(served: Daemon) -> None:
    served.define("chosen", CODE)
    failed = served.run("chosen", loud=True)
    good = served.run("chosen")
    app = app_on(served)
    async with app.run_test(size=(140, 30)) as pilot:
        await until(pilot, lambda: good["name"] in text_of(pilot))
        await pilot.press("slash", *"state=failed wf=chosen dur<1h", "enter")
        await until(
            pilot, lambda: failed["name"] in text_of(pilot) and good["name"] not in text_of(pilot)
        )
        await pilot.press("s")
        await until(
            pilot,
            lambda: app.view.window.query.sort == "created" and failed["name"] in text_of(pilot),
        )
        assert app.faults == []


async def test_a_daemon_restarted_under_it_is_found_again() -> None:
    folder = Path(tempfile.mkdtemp(prefix="fd-"))
    daemon = Daemon(folder / "h").start()
    try:
        daemon.define("again", CODE)
        first = daemon.run("again")
        app = app_on(daemon)
        async with app.run_test(size=(140, 30)) as pilot:
            await until(pilot, lambda: first["name"] in text_of(pilot))
            daemon.kill()
            await until(pilot, lambda: "reconnecting" in text_of(pilot))
            daemon.start()
            await until(pilot, lambda: "was restarted" in text_of(pilot), within_s=15)
            second = daemon.run("again")
            await until(pilot, lambda: second["name"] in text_of(pilot), within_s=15)
            assert app.faults == []
    finally:
        daemon.kill()
        shutil.rmtree(folder, ignore_errors=True)


def without_colours(wrote: bytes) -> bytes:
    """Return what was written less what Textual itself sends: colours, places, modes, questions."""
    text = re.sub(
        rb"\x1b\[[0-9;:?>=<$]*[a-zA-Z]|\x1b\[\?[0-9;]*\$p|\x1bP\+q[0-9a-f;]*\x1b\\|\x1b[=>]|\x1b\]22;[a-z]*\x07",
        b"",
        wrote,
    )
    return text.replace(b"\x1b[H", b"").replace(b"\r", b"").replace(b"\n", b"")


def visit(ours: Terminal, *keys: bytes) -> None:
    for key in keys:
        place = len(ours.wrote)
        ours.press(key)
        while ours.read(0.4):
            pass
        assert len(ours.wrote) > place, key


def test_no_control_byte_of_a_payload_reaches_the_terminal(served: Daemon) -> None:
    served.define("loud", CODE)
    run = served.run("loud", loud=True)
    assert run["state"] == "failed"
    with terminal("ui", "--view", "runs", environ={"FLOWDAPT_HOME": str(served.home)}) as ours:
        # A long name is cut at the width of the list.
        ours.until(run["name"][:12].encode(), rb"x1b]52")
        visit(ours, b"1", b"7", b"3", b"/wf=loud\r")
        ours.press(b"\x11")
        assert ours.end() == 0
    wrote = ours.wrote
    assert b"\x1b]52" not in wrote
    assert b"\x1b]0;" not in wrote
    assert b"\x1b[8m" not in wrote
    left = without_colours(wrote).decode()
    assert re.findall(".{0,20}[\x00-\x1f\x7f-\x9f\u202e\u2066].{0,20}", left, re.DOTALL) == []


def test_flowdapt_alone_in_a_terminal_starts_a_daemon_and_opens_the_workstation() -> None:
    home = Path(tempfile.mkdtemp(prefix="fd-"))
    environ = {"FLOWDAPT_HOME": str(home)}
    try:
        with terminal(environ=environ) as ours:
            ours.until(b"pulse", b"live", b"Nothing is here yet", within_s=30)
            ours.press(b"q")
            assert ours.end() == 0
        # The terminal is left as it was found: the other screen, the mouse, the cursor.
        for left in (b"\x1b[?1049l", b"\x1b[?1000l", b"\x1b[?25h"):
            assert left in ours.wrote
    finally:
        subprocess.run([sys.executable, "-m", "flowdapt", "down", "--now"], env={**environ, "PATH": ""}, check=True, capture_output=True)  # fmt: skip
        shutil.rmtree(home, ignore_errors=True)


@pytest.mark.parametrize("words", [("ui", "--no-color"), ("ui", "--view", "runs", "--no-color")])
def test_no_color_on_the_command_line_shows_greys_alone(
    served: Daemon, words: tuple[str, ...]
) -> None:
    environ = {"FLOWDAPT_HOME": str(served.home), "COLORTERM": "truecolor"}
    with terminal(*words, environ=environ) as ours:
        ours.until(b"live")
        ours.press(b"q")
        assert ours.end() == 0
        painted = re.findall(rb"[34]8;2;(\d+);(\d+);(\d+)", ours.wrote)
    assert painted
    assert all(len(set(colour)) == 1 for colour in painted)


def test_ui_without_a_terminal_says_what_to_do(served: Daemon) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flowdapt", "ui"], env={"FLOWDAPT_HOME": str(served.home), "PATH": ""},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "needs a terminal" in done.stderr
    assert "flowdapt top" in done.stderr


def test_a_terminal_that_goes_away_ends_it(served: Daemon) -> None:
    import os

    with terminal("ui", environ={"FLOWDAPT_HOME": str(served.home)}) as ours:
        ours.until(b"live")
        os.kill(ours.pid, signal.SIGTERM)
        ours.end()
