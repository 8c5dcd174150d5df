"""The guide to a Dask cluster with TLS is followed as it is written, on the loopback."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.clusters.ports import free_port
from tests.debian import find_program
from tests.docs.pages import ROOT, blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = ROOT / "docs" / "how-to" / "add-a-cluster.md"
LESSON = ROOT / "docs" / "tutorial" / "laptop-to-cluster.md"
pytestmark = pytest.mark.slow


def commands() -> list[str]:
    marked = [one.text for one in blocks("console", mark="lesson") if one.page == PAGE]
    return [line.removeprefix("$ ") for text in marked for line in text.splitlines()]


class Desk:
    """A folder with the lesson's workflow, where the guide's commands are typed."""

    def __init__(self, folder: Path) -> None:
        find_program("openssl", package="openssl")
        self.folder = folder
        self.port = free_port()
        self.servers: list[subprocess.Popen[bytes]] = []
        self._environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "FLOWDAPT_HOME": str(folder / "home"),
        }
        self._environment.pop("FLOWDAPT_AUTOSTART", None)
        (folder / "home" / "user_modules").mkdir(parents=True)
        for language, name in (("python", "home/user_modules/primes.py"), ("yaml", "primes.yaml")):
            (text,) = (one.text for one in blocks(language) if one.page == LESSON)
            (folder / name).write_text(text, encoding="utf-8")

    def type(self, command: str) -> str:
        """Run a command and return what it wrote; one that serves goes on beside us."""
        here = command.replace("10.0.0.5", "127.0.0.1").replace("8786", str(self.port))
        words = shlex.split(here)
        if words[0] == "dask":
            self._serve(words)
            return ""
        done = subprocess.run(
            words, cwd=self.folder, env=self._environment,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{here}\n{done.stdout}{done.stderr}{self._said()}"
        return done.stdout

    def _serve(self, words: list[str]) -> None:
        with (self.folder / "dask.log").open("ab") as log:
            self.servers.append(
                subprocess.Popen(
                    words,
                    cwd=self.folder,
                    env=self._environment,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    def _said(self) -> str:
        log = self.folder / "dask.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def leave(self) -> None:
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(
                ["flowdapt", "down", "--now"], env=self._environment | {"FLOWDAPT_AUTOSTART": "0"},
                capture_output=True, timeout=60, check=False,
            )  # fmt: skip
        for server in self.servers:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()


@pytest.fixture
def desk() -> Iterator[Desk]:
    with tempfile.TemporaryDirectory(prefix="fd-", ignore_cleanup_errors=True) as folder:
        made = Desk(Path(folder))
        try:
            yield made
        finally:
            made.leave()


def test_a_cluster_with_tls_is_added_as_the_guide_says(desk: Desk) -> None:
    desk.type("flowdapt apply -f primes.yaml")
    said = {command: desk.type(command) for command in commands()}
    checked = next(text for command, text in said.items() if " check " in command)
    assert f"tls://127.0.0.1:{desk.port} answers" in checked
    assert "✔ lab can be used" in checked
    ran = next(text for command, text in said.items() if command.startswith("flowdapt run "))
    assert "on lab" in ran
    assert '{"primes": 17984}' in ran
