"""The real screens in a real Chromium, on a real daemon: opened by the link, typed at, reloaded, closed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psutil
import pytest

from tests.e2e.daemons import Daemon
from tests.tui.web.chromium import Chromium, running_chromium
from tests.waiting import eventually

pytestmark = [pytest.mark.terminal, pytest.mark.slow]
CODE = """
    def stage(text=""):
        print(text)
        raise ValueError(text)
"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with running_chromium() as browser:
        yield browser


@contextmanager
def screens(daemon: Daemon, *words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "flowdapt", "ui", "--web", *words],
        env=psutil.Process().environ() | {"FLOWDAPT_HOME": str(daemon.home)},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        link = next((line.strip() for line in process.stdout if "http://" in line), "")
        assert link, process.communicate()[1]
        yield process, link
    finally:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (0, "")


def children(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children()


def test_the_screens_work_in_a_browser_and_end_with_their_tab(
    chromium: Chromium, daemon: Daemon
) -> None:
    daemon.start()
    daemon.define("loud", CODE)
    run = daemon.run("loud", text="<img src=x onerror=alert(1)>\x1b]52;c;aGk=\x07")
    with screens(daemon, "--view", "runs") as (process, link):
        tab = chromium.open(link, chromium.stranger())
        tab.shows(run["name"][:12])
        assert "✖ failed" in tab.text
        assert len(children(process)) == 1
        tab.type("?")
        tab.shows("Keys of runs")
        tab.press("Escape", 27)
        eventually(lambda: "Keys of runs" not in tab.text)
        tab.type("2")
        tab.shows("workflows")
        tab.resize(1200, 800)
        tab.type("3")
        tab.shows(r"\x1b]52")
        other = daemon.run("loud", text="again")
        tab.shows(other["name"][:12])
        assert tab.complaints == []
        assert {urlsplit(address).hostname for address in tab.addresses} == {"127.0.0.1"}
        tab.type("q")
        eventually(lambda: "closed" in tab.value("document.getElementById('notice').textContent"))
        assert children(process) == []
        tab.press("Enter", 13)
        tab.shows(run["name"][:12])
        tab.close()
        eventually(lambda: children(process) == [])


def test_read_only_holds_in_every_tab(chromium: Chromium, daemon: Daemon) -> None:
    daemon.start()
    daemon.define("loud", CODE)
    with screens(daemon, "--view", "workflows", "--read-only") as (_, link):
        tab = chromium.open(link, chromium.stranger())
        tab.shows("loud")
        tab.type("r")
        assert "read-only" in tab.shows("read-only")
        assert daemon.json("GET", "/api/v1/runs")["items"] == []
        tab.close()
